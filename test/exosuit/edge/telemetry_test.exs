defmodule Exosuit.Edge.TelemetryTest do
  # Not async: it brings a module `:telemetry`, which hosts look for when they start.
  use Exosuit.HostCase

  setup do
    fake =
      quote do
        def execute(event, measurements, metadata) do
          send(Exosuit.Edge.TelemetryTest, {event, measurements, metadata})
        end
      end

    Process.register(self(), __MODULE__)
    Module.create(:telemetry, fake, Macro.Env.location(__ENV__))

    on_exit(fn ->
      :code.purge(:telemetry)
      :code.delete(:telemetry)
    end)
  end

  test "events go to an app's telemetry" do
    host = start_supervised_host!(actors: [echo: "echo"])

    assert_receive {[:exosuit, :event], %{system_time: time},
                    %{host: ^host, type: "actor_started", data: %{id: "echo"}}}

    assert is_integer(time)
    stop_supervised!(host)
  end
end
