defmodule Exosuit.Edge.LogLinesTest do
  # It takes what others log meanwhile for its own.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias Exosuit.Edge.LogLines
  alias Exosuit.Event

  @hostile "ä\e[2J\nforged"
  @harmless ~S(ä\e[2J\nforged)

  test "what a guest writes is one line, and steers no terminal" do
    log = capture_log(fn -> LogLines.guest("actor", :error, @hostile) end)
    assert log =~ "[actor] " <> @harmless
  end

  test "neither does what its errors say" do
    event = %Event{
      id: "1",
      source: "host",
      type: "actor_start_failed",
      time: DateTime.utc_now(),
      data: %{id: "actor", error: @hostile}
    }

    assert capture_log(fn -> LogLines.event(event) end) =~ "actor: " <> @harmless
  end

  test "what happens in the lattice is said in words, as loud as it is grave" do
    level = Logger.level()
    Logger.configure(level: :info)
    on_exit(fn -> Logger.configure(level: level) end)

    for {type, data, line} <- [
          {"lattice_connected", %{connection: "rpc"},
           "[info] lattice (rpc connection): connected"},
          {"lattice_unreachable", %{connection: "control", error: "refused"},
           "[warning] lattice (control connection): unreachable: refused"},
          {"lattice_state_lost", %{bucket: :data, count: 2},
           "[error] lattice state lost (data): 2"},
          {"invocations_refused", %{target: "kv", count: 3, error: "replayed"},
           "[warning] 3 calls from the lattice to kv refused: replayed"},
          {"record_refused", %{key: "LINKDEF_x", error: "no JSON"},
           "[warning] record refused LINKDEF_x: no JSON"}
        ] do
      event = %Event{id: "1", source: "h", type: type, time: DateTime.utc_now(), data: data}
      assert capture_log(fn -> LogLines.event(event) end) =~ line
    end
  end
end
