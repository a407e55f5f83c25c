# bin/bench runs this: mix run bench/bench.exs FLOOR_PROGRAM GUESTS [JSON_FILE]

for room <- ~w(floor row measure calls http provider lives nats lattice heartbeats placement),
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
  Row
}

{program, guests, json} =
  case System.argv() do
    [program, guests] -> {program, guests, nil}
    [program, guests, json] -> {program, guests, json}
  end

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
      {"component-warm", "component", [warm: []]}
    ] do
  {:ok, ^id} = Exosuit.start_actor(host, guest.(name), [id: id, instances: 64] ++ options)
end

floor = Floor.start(program, Enum.map(~w(echo web component), guest))

rows =
  Calls.rows(floor, host) ++
    Http.rows(floor, host) ++
    Provider.rows(floor, host) ++
    Lives.rows(host, guest.("echo")) ++
    Placement.rows()

in_lattice =
  case Nats.start(program) do
    nil ->
      IO.puts(:stderr, "nats-server is not installed: no rows of the lattice")
      []

    nats ->
      Lattice.rows(floor, nats, guest) ++ Heartbeats.rows(floor, nats, guest.("echo"), guests)
  end

rows = rows ++ in_lattice
IO.puts(Row.table(rows))
if json, do: File.write!(json, Row.json(rows))
