defmodule Exosuit.Edge.Telemetry do
  @moduledoc false
  # Executes events with `:telemetry`, in an app that has that package. Exosuit itself needs no package.

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
