# The memory that a long list of records takes on its way to a guest and back. In a VM of its own:
#
#     MIX_ENV=test mix run bench/records.exs [COUNT]
#
# The guest returns what it gets. The numbers are of the whole process (VmHWM and VmRSS of /proc/self/status, so on
# Linux alone). Other load on the machine does not matter.
alias Exosuit.{Guests, WitWorld}

{count, ""} = System.argv() |> List.first("1000000") |> Integer.parse()
Logger.configure(level: :error)
host = Exosuit.Bench.Records
dir = Path.join(System.tmp_dir!(), "exosuit-records-#{System.pid()}")
File.mkdir_p!(dir)

type = {:list, {:record, [{"id", :u32}, {"name", :string}, {"score", :f64}]}}
Guests.assemble(dir, %{"records" => WitWorld.component(type, :mirror)})

{:ok, _supervisor} =
  Supervisor.start_link([{Exosuit, name: host, trusted_issuers: :any, unsigned: :allow}],
    strategy: :one_for_one
  )

{:ok, _id} = Exosuit.start_actor(host, Path.join(dir, "records.wasm"), id: "records")
File.rm_rf!(dir)

status = fn field ->
  [_all, kilobytes] = Regex.run(~r/#{field}:\s+(\d+) kB/, File.read!("/proc/self/status"))
  String.to_integer(kilobytes) * 1_024
end

pass = fn records ->
  arguments = WitWorld.arguments(records)
  {:ok, {7, answer}} = Exosuit.call(host, "records", "echo", arguments, timeout: 600_000)
  # All of it came back; comparing keeps both.
  true = answer == records
end

record = fn n -> %{id: n, name: "x", score: 0.5} end
pass.([record.(1)])
idle = status.("VmHWM")

records = for n <- 1..count, do: record.(n)
:erlang.garbage_collect()
before = status.("VmRSS")
pass.(records)
peak = status.("VmHWM")

megabytes = fn bytes -> "#{round(bytes / 1.0e6)} MB" end

IO.puts("""
#{count} records of three fields, there and back
idle peak                      #{megabytes.(idle)}
the list in Elixir             #{megabytes.(:erts_debug.flat_size(records) * :erlang.system_info(:wordsize))}
peak, less the idle peak       #{megabytes.(peak - idle)}
peak, less the list before it  #{megabytes.(peak - before)}
""")
