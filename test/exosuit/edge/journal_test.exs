defmodule Exosuit.Edge.JournalTest do
  # It takes what others log meanwhile for its own.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias Exosuit.Edge.Journal
  alias Exosuit.Event

  @hostile "ä\e[2J\nforged"
  @harmless ~S(ä\e[2J\nforged)

  test "what a guest writes is one line, and steers no terminal" do
    log = capture_log(fn -> Journal.guest("actor", :error, @hostile) end)
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

    assert capture_log(fn -> Journal.event(event) end) =~ "actor: " <> @harmless
  end
end
