# bin/bench runs this: mix run bench/bench.exs FLOOR_PROGRAM GUESTS [JSON_FILE]

for room <- ~w(floor row measure calls http lives),
    do: Code.require_file("lib/#{room}.ex", __DIR__)

alias Exosuit.Bench.{Calls, Floor, Http, Lives, Row}

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

[echo, web] = for name <- ~w(echo web), do: Path.join(guests, name <> ".wasm")
{:ok, "echo"} = Exosuit.start_actor(host, echo, id: "echo", instances: 64)
{:ok, "web"} = Exosuit.start_actor(host, web, id: "web", instances: 64)
floor = Floor.start(program, echo, web)

rows = Calls.rows(floor, host) ++ Http.rows(floor, host) ++ Lives.rows(host, echo)

IO.puts(Row.table(rows))
if json, do: File.write!(json, Row.json(rows))
