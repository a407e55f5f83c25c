defmodule Exosuit.Edge.EventLoggerTest do
  # Not async: the log is captured of all processes.
  use Exosuit.HostCase, async: false

  import ExUnit.CaptureLog

  alias Exosuit.Directory
  alias Exosuit.Edge.EventLogger

  @tag capture_log: false
  test "events that wait when a host stops are logged" do
    host = start_supervised_host!()
    level = Logger.level()
    Logger.configure(level: :info)
    on_exit(fn -> Logger.configure(level: level) end)

    log =
      capture_log(fn ->
        # It reads nothing any more, as on a busy machine.
        :ok = :sys.suspend(GenServer.whereis(Directory.via(host, EventLogger)))
        :ok = stop_supervised(host)
      end)

    assert log =~ "stopped"
  end
end
