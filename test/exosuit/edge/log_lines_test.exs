defmodule Exosuit.Edge.LogLinesTest do
  # It takes what others log meanwhile for its own.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias Exosuit.Edge.LogLines
  alias Exosuit.Event

  doctest LogLines

  @hostile "ä\e[2J\nforged"
  @harmless ~S(ä\e[2J\nforged)

  test "what a guest writes is one line, and steers no terminal" do
    log = capture_log(fn -> LogLines.guest("actor", :error, @hostile) end)
    assert log =~ "[actor] " <> @harmless
  end

  test "neither does what its errors say" do
    failed = %Event.ActorStartFailed{
      id: "actor",
      image_ref: "file:///a.wasm",
      annotations: %{},
      reason: :io,
      error: @hostile
    }

    log = capture_log(fn -> LogLines.event(Event.new("host", failed)) end)
    assert log =~ "could not start: " <> @harmless
  end

  test "what happens in the lattice is said in words, as loud as it is grave" do
    level = Logger.level()
    Logger.configure(level: :info)
    on_exit(fn -> Logger.configure(level: level) end)

    for {fact, line} <- [
          {%Event.LatticeConnected{connection: "rpc"},
           "[info] lattice (rpc connection): connected"},
          {%Event.LatticeUnreachable{connection: "control", reason: :io, error: "refused"},
           "[warning] lattice (control connection): unreachable: refused"},
          {%Event.LatticeStateLost{bucket: :data, count: 2},
           "[error] 2 records of data are lost in the lattice"},
          {%Event.InvocationsRefused{
             target: "kv",
             kind: "replayed",
             count: 3,
             reason: :denied,
             error: "replayed"
           }, "[warning] 3 calls from the lattice to kv refused: replayed"},
          {%Event.RecordRefused{key: "LINKDEF_x", reason: :io, error: "no JSON"},
           "[warning] record LINKDEF_x cannot be read: no JSON"}
        ] do
      event = Event.new("h", fact)
      assert capture_log(fn -> LogLines.event(event) end) =~ line
    end
  end

  test "a part of a line is left out if its field is absent or empty" do
    slow = %Event.RetrySlow{role: :actor, id: "a", after_ms: 9, reason: :io, error: "no"}
    assert text(slow) == "actor a keeps failing, next try in 9 ms: no"

    link = %{slow | id: nil, role: :link, source: "a", target: "kv", namespace: "n", package: "p"}
    assert text(link) == "link a -> kv n:p keeps failing, next try in 9 ms: no"

    final = %Event.StartupFailed{option: "actor a", reason: :io, error: "no"}
    assert text(final) == "option could not be applied: actor a: no"
  end

  defp text(fact), do: LogLines.text(Event.new("h", fact))
end
