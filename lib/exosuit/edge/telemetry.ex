defmodule Exosuit.Edge.Telemetry do
  @moduledoc """
  Executes events with `:telemetry`, in an app that has that package. Exosuit itself needs no package.

  Each event of a host is executed as `[:exosuit, :event]`. The measurements are `%{system_time: time}`, in native
  units; the metadata are the fields of `Exosuit.Event` and `:host`, the name of the host. Handlers run in the process
  of `Exosuit.Edge.EventForwarder`, and should hand slow work to another one.

      :telemetry.attach("shop", [:exosuit, :event], &MyApp.Metrics.handle/4, nil)
  """

  alias Exosuit.Event

  @compile {:no_warn_undefined, :telemetry}

  @doc "Whether the app has `:telemetry`. Called once per host, because the VM looks for an absent module on disk."
  @spec present?() :: boolean()
  def present?,
    do: Code.ensure_loaded?(:telemetry) and function_exported?(:telemetry, :execute, 3)

  @doc "Forwards an event as `[:exosuit, :event]`."
  @spec forward(atom(), Event.t()) :: :ok
  def forward(host, %Event{} = event) do
    measurements = %{system_time: system_time(event.time)}
    metadata = event |> Map.from_struct() |> Map.put(:host, host)
    :telemetry.execute([:exosuit, :event], measurements, metadata)
  end

  # In the unit of `System.system_time/0`, as `:telemetry` has it.
  defp system_time(time) do
    time |> DateTime.to_unix(:nanosecond) |> System.convert_time_unit(:nanosecond, :native)
  end
end
