# bin/bench runs this: mix run bench/bench.exs FLOOR_PROGRAM GUESTS [--only GROUP] [--json FILE]

for room <-
      ~w(floor row measure calls http provider wasmex typed lives nats lattice heartbeats placement),
    do: Code.require_file("lib/#{room}.ex", __DIR__)

alias Exosuit.Bench.{
  Calls,
  Floor,
  Heartbeats,
  Http,
  Lattice,
  Lives,
  Nats,
  Placement,
  Provider,
  Row,
  Typed
}

{options, [program, guests], []} =
  OptionParser.parse(System.argv(), strict: [only: :string, json: :string])

Logger.configure(level: :error)
host = Exosuit.Bench.Host

{:ok, _supervisor} =
  Supervisor.start_link([{Exosuit, name: host, trusted_issuers: :any, unsigned: :allow}],
    strategy: :one_for_one
  )

guest = &Path.join(guests, &1 <> ".wasm")

for {id, name, options} <- [
      {"echo", "echo", []},
      {"echo-warm", "echo", [warm: []]},
      {"caller", "caller", []},
      {"web", "web", []},
      {"component", "component", []},
      {"component-warm", "component", [warm: []]},
      {"typed", "typed", [warm: []]},
      {"typed-caller", "typed-caller", [warm: []]}
    ] do
  {:ok, ^id} = Exosuit.start_actor(host, guest.(name), [id: id, instances: 64] ++ options)
end

floor = Floor.start(program, Enum.map(~w(echo web component typed typed-caller), guest))

in_lattice = fn ->
  case Nats.start(program) do
    nil ->
      IO.puts(:stderr, "nats-server is not installed: no rows of the lattice")
      []

    nats ->
      Lattice.rows(floor, nats, guest) ++ Heartbeats.rows(floor, nats, guest.("echo"), guests)
  end
end

groups = [
  {"calls", fn -> Calls.rows(floor, host) end},
  {"http", fn -> Http.rows(floor, host) end},
  {"provider", fn -> Provider.rows(floor, host) end},
  {"typed", fn -> Typed.rows(floor, host, guest.("typed")) end},
  {"lives", fn -> Lives.rows(host, guest.("echo")) end},
  {"placement", fn -> Placement.rows() end},
  {"lattice", in_lattice}
]

rows = for {group, rows} <- groups, options[:only] in [nil, group], row <- rows.(), do: row
IO.puts(Row.table(rows))
if json = options[:json], do: File.write!(json, Row.json(rows))
