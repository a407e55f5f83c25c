defmodule Exosuit.Protocol.Events do
  @moduledoc """
  Decodes the events of other hosts, of either generation. Pure.

  Both generations share the envelope and the names of these events, and a listener does not know the generation of a
  host. Therefore one decoder reads both.

  Anybody on the bus can send events. A value is kept only if it has the right kind and a bounded length; any other
  value counts as absent, and the event is still read. A text is copied, because a part of a message keeps the whole
  message in memory.

  | value | bound |
  |---|---|
  | a text: a name, a label, a version | 1 024 bytes |
  | labels | 64, else all are dropped |
  | the name of an end of a link | 255 bytes, else the event is not read |
  | the id of the sending host | 128 bytes |
  | the interval of heartbeats | ten minutes |
  """

  alias Exosuit.Json
  alias Exosuit.Model.Link

  @prefix "com.wasmcloud.lattice."

  # Longer labels, names and versions are dropped, to save memory.
  @max_text 1_024
  @max_labels 64

  # The longest name of an end of a link that hosts accept.
  @max_name 255

  @max_source 128

  # Far above real numbers: as an uptime in seconds, it is nine million years.
  @max_number 0xFFFF_FFFF_FFFF

  # A host waits at most ten minutes for the next heartbeat of another host.
  @max_interval 600_000

  @typedoc """
  The facts of a heartbeat. A fact that is absent or of another form has no key, so that merging it into earlier facts
  changes nothing. `actors` and `providers` are numbers, also if the event has lists.
  """
  @type heartbeat :: %{
          optional(:friendly_name) => String.t(),
          optional(:version) => String.t(),
          optional(:labels) => %{String.t() => String.t()},
          optional(:uptime_seconds) => non_neg_integer(),
          optional(:actors) => non_neg_integer(),
          optional(:providers) => non_neg_integer(),
          optional(:interval) => pos_integer(),
          optional(:mac) => 1
        }

  @doc """
  Decodes an event to its type, the id of the host that sent it (`nil` if there is none), and its data. `:error` for a
  message that is no event.

      iex> event = ~s({"type": "com.wasmcloud.lattice.host_stopped", "source": "NABC", "data": {"labels": {}}})
      iex> Exosuit.Protocol.Events.decode(event)
      {:ok, "host_stopped", "NABC", %{"labels" => %{}}}
      iex> Exosuit.Protocol.Events.decode("hello")
      :error
  """
  @spec decode(binary()) :: {:ok, String.t(), String.t() | nil, map()} | :error
  def decode(payload) do
    case Json.decode(payload) do
      {:ok, %{"type" => @prefix <> type, "data" => %{} = data} = event} ->
        {:ok, type, source(event["source"]), data}

      _other ->
        :error
    end
  end

  @doc """
  Decodes the data of `host_heartbeat` or `host_started`.

      iex> data = %{"version" => "1.2.0", "uptime_seconds" => -1, "components" => [%{}, %{}]}
      iex> Exosuit.Protocol.Events.heartbeat(data)
      %{version: "1.2.0", actors: 2}
  """
  @spec heartbeat(map()) :: heartbeat()
  def heartbeat(data) do
    %{
      friendly_name: text(data["friendly_name"]),
      version: text(data["version"]),
      labels: labels(data["labels"]),
      uptime_seconds: number(data["uptime_seconds"]),
      actors: number(data["actors_count"] || data["components_count"]) || actors(data),
      providers: number(data["providers_count"]) || count(data["providers"]),
      interval: interval(data["heartbeat_interval_ms"]),
      mac: if(data["mac"] == 1, do: 1)
    }
    |> Map.reject(fn {_key, value} -> is_nil(value) end)
  end

  @doc "Decodes the key of the link in the data of `linkdef_set` or `linkdef_deleted`."
  @spec link_key(map()) :: {:ok, Link.key()} | :error
  def link_key(%{"source_id" => source, "wit_namespace" => _, "wit_package" => _} = it) do
    name = if is_binary(it["name"]), do: it["name"], else: "default"

    with {:ok, [source, namespace, package, name]} <-
           names([source, it["wit_namespace"], it["wit_package"], name]),
         do: {:ok, {source, "#{namespace}:#{package}", name}}
  end

  def link_key(%{"actor_id" => source, "contract_id" => contract, "link_name" => name}) do
    with {:ok, names} <- names([source, contract, name]), do: {:ok, List.to_tuple(names)}
  end

  def link_key(_other), do: :error

  defp names(names) do
    if Enum.all?(names, &(is_binary(&1) and byte_size(&1) <= @max_name)),
      do: {:ok, Enum.map(names, &:binary.copy/1)},
      else: :error
  end

  defp source(source) when is_binary(source) and byte_size(source) <= @max_source,
    do: :binary.copy(source)

  defp source(_other), do: nil

  defp text(text) when is_binary(text) and byte_size(text) <= @max_text, do: :binary.copy(text)
  defp text(_other), do: nil

  defp labels(%{} = labels) when map_size(labels) <= @max_labels do
    for {key, value} <- labels, key = text(key), value = text(value), into: %{}, do: {key, value}
  end

  defp labels(_other), do: nil

  defp number(number) when is_integer(number) and number in 0..@max_number, do: number
  defp number(_other), do: nil

  defp actors(data), do: count(data["actors"] || data["components"])

  defp count(list) when is_list(list), do: length(list)
  defp count(%{} = map), do: map_size(map)
  defp count(_other), do: nil

  defp interval(interval) when is_integer(interval) and interval in 1..@max_interval, do: interval
  defp interval(_other), do: nil
end
