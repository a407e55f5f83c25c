defmodule Exosuit.Edge.LogLines do
  @moduledoc """
  Turns events and guests' lines into log lines: the only module of a host that logs.

  The table has a level and a text for each type of event. `{field}` is a field of the event. A part in brackets
  is left out if a field in it is absent or empty. A type without a line, or a field that the type does not
  have, does not compile.

      Event.HostLost => {:warning, "host [{friendly_name} ]({host_id}) is lost"}

  The table is checked and cut into parts at compile time, so that a line costs no parsing. An optional field may stand
  in brackets alone, because it may be absent.

  The log is for people who run hosts. So a level says who should act: `:error` something does not work and needs
  somebody, `:warning` it may, `:info` the course of things, `:debug` what repeats by itself.

  Guests choose their lines and parts of errors. `guest/3` and `text/1` replace control characters, so that a guest can
  neither forge a second line nor move the cursor of a terminal.
  """

  require Logger

  alias Exosuit.Event

  @link "link {source} -> {target} {namespace}:{package}"

  @lines %{
    Event.ActorScaled => {:info, "actor {id} was scaled to {instances} instances"},
    Event.ActorStarted => {:info, "actor {id} started"},
    Event.ActorStartFailed => {:error, "actor {id} could not start: {error}"},
    Event.ActorStopped => {:info, "actor {id} stopped ({reason})"},
    Event.ActorUpdated => {:info, "actor {id} was updated"},
    Event.ActorUpdateFailed => {:error, "actor {id} could not be updated: {error}"},
    Event.AliasRefused => {:warning, "actor {id} cannot be called as {call_alias}: {error}"},
    Event.ApplicationFailed =>
      {:error, "version {version} of application {app} failed: {reason}"},
    Event.ApplicationIgnored => {:warning, "record {key} is ignored[: {error}]"},
    Event.ApplicationsNotKept => {:error, "copy of the applications not kept: {error}"},
    Event.ApplicationsPutBack => {:warning, "applications put back into the store: {apps}"},
    Event.CertificateChanged => {:info, "provider {provider} uses the new certificate {file}"},
    Event.CertificateRefused =>
      {:warning, "provider {provider} cannot use the certificate {file}: {error}"},
    Event.ConfigDeleted => {:info, "configuration {config_name} was deleted"},
    Event.ConfigSet => {:info, "configuration {config_name} was stored"},
    Event.ControlFailed => {:error, "control socket {path} cannot be opened: {error}"},
    Event.EventsDropped => {:warning, "{count} events were lost"},
    Event.HealthCheckFailed => {:warning, "provider {id} is not healthy: {error}"},
    Event.HealthCheckPassed => {:debug, "provider {id} is healthy"},
    Event.HealthCheckStatus => {:debug, "health of provider {id} is unchanged[: {error}]"},
    Event.HeartbeatShortened =>
      {:warning, "heartbeat has counts in place of lists: larger than {max_payload} bytes"},
    Event.HostHeartbeat => {:debug, "heartbeat of host {host_id}"},
    Event.HostLost => {:warning, "host [{friendly_name} ]({host_id}) is lost"},
    Event.HostsIgnored =>
      {:warning, "host {host_id} is ignored: more than {max} hosts, or {max_bytes} bytes"},
    Event.HostStarted => {:info, "host [{friendly_name} ]started, version {version}"},
    Event.HostStopped => {:info, "host stopped"},
    Event.IdentityNotKept => {:error, "identity of this host not kept: {error}"},
    Event.InvocationFailed =>
      {:warning, "call refused or failed: {source} -> {target} {operation}: {error}"},
    Event.InvocationsRefused =>
      {:warning, "{count} calls from the lattice to {target} refused: {error}"},
    Event.LabelsChanged => {:info, "labels of this host changed"},
    Event.LatticeClockSkew =>
      {:warning, "clock of the host of {source} differs by {skew_ms} milliseconds"},
    Event.LatticeConnected => {:info, "lattice ({connection} connection): connected"},
    Event.LatticeDisconnected => {:warning, "lattice ({connection} connection): disconnected"},
    Event.LatticeLameDuck =>
      {:warning, "lattice ({connection} connection): the server will stop"},
    Event.LatticeRefused => {:error, "lattice ({connection} connection): refused: {error}"},
    Event.LatticeSlowConsumer =>
      {:warning, "lattice ({connection} connection): messages lost, read too slowly"},
    Event.LatticeStateDamaged => {:error, "state of this host is damaged: {error}"},
    Event.LatticeStateDropped =>
      {:warning, "{count} records of {bucket} ignored for lack of room, the last is {key}"},
    Event.LatticeStateLost => {:error, "{count} records of {bucket} are lost in the lattice"},
    Event.LatticeStateNotKept => {:error, "state of this host not kept: {error}"},
    Event.LatticeStateUnavailable =>
      {:warning, "records of {bucket} cannot be read now: {error}"},
    Event.LatticeUnreachable =>
      {:warning, "lattice ({connection} connection): unreachable: {error}"},
    Event.LinkApplied => {:debug, @link <> " is in force"},
    Event.LinkRemoved => {:debug, @link <> " is not in force any more"},
    Event.LinkWarning => {:warning, @link <> ": {warning}"},
    Event.LinkdefDeleted => {:info, @link <> " was deleted"},
    Event.LinkdefSet => {:info, @link <> " was made"},
    Event.LinkdefSetFailed => {:error, @link <> " has no effect: {error}"},
    Event.NoticesDropped => {:warning, "{count} facts of the data plane were lost"},
    Event.ProviderRecovered => {:info, "provider {id} works again: {what}"},
    Event.ProviderStarted => {:info, "provider {id} started[ at {endpoints}]"},
    Event.ProviderStartFailed => {:error, "provider {id} could not start: {error}"},
    Event.ProviderStopped => {:info, "provider {id} stopped ({reason})"},
    Event.ProviderWarning => {:warning, "provider {id}: {warning}"},
    Event.RecordRefused => {:warning, "record {key} cannot be read: {error}"},
    Event.RecordsRefused => {:warning, "{count} further records cannot be read"},
    Event.RefmapSet => {:debug, "reference {oci_url} has the key {public_key}"},
    Event.Restarting => {:warning, "{role} {id} restarts in {after_ms} ms: {error}"},
    Event.RetrySlow =>
      {:error,
       "{role}[ {id}][ {source} -> {target} {namespace}:{package}] keeps failing, " <>
         "next try in {after_ms} ms: {error}"},
    Event.StartupApplied => {:info, "option applied: {option}"},
    Event.StartupFailed =>
      {:error, "option could not be applied: {option}[, next try in {after_ms} ms]: {error}"},
    Event.WadmApiServing => {:info, "the wadm is gone: this host answers wadm's API again"},
    Event.WadmApiSilent =>
      {:warning, "a wadm runs in the lattice: this host does not answer wadm's API"}
  }

  # Runs at compile time. A text and the fields in it: "actor {id}" gives ["actor ", :id].
  parts = fn text ->
    for {part, n} <- Enum.with_index(String.split(text, ~r/[{}]/)), part != "" do
      if rem(n, 2) == 0, do: part, else: String.to_atom(part)
    end
  end

  @doc "Logs a line that a guest wrote, with the name of its actor in front and in the metadata (`actor`)."
  @spec guest(String.t(), Logger.level(), String.t()) :: :ok
  def guest(actor, level, text) do
    Logger.log(level, fn -> {"[#{actor}] #{plain(text)}", actor: actor} end)
  end

  @doc "The number of guests' lines that were not logged."
  @spec dropped(pos_integer()) :: :ok
  def dropped(count) do
    Logger.warning("#{count} lines of guests were dropped: the log is written too slowly")
  end

  @doc "An event."
  @spec event(Event.t()) :: :ok
  def event(%Event{} = event), do: Logger.log(level(event.type), fn -> text(event) end)

  @doc "The number of repetitions of a failure."
  @spec repeated(Event.t(), pos_integer()) :: :ok
  def repeated(%Event{} = event, count) do
    Logger.warning(fn -> "#{text(event)} (and #{count} more like it)" end)
  end

  @doc """
  The level at which events of a type are logged. Raises for a type that is not in the table.

      iex> Exosuit.Edge.LogLines.level("host_lost")
      :warning
  """
  @spec level(String.t()) :: Logger.level()
  def level(type), do: type |> line() |> elem(0)

  @doc """
  The line for an event, without control characters.

      iex> data = %{host_id: "N1", friendly_name: nil}
      iex> event = %Exosuit.Event{id: "1", source: "N2", type: "host_lost", time: DateTime.utc_now(), data: data}
      iex> Exosuit.Edge.LogLines.text(event)
      "host (N1) is lost"
  """
  @spec text(Event.t()) :: String.t()
  def text(%Event{type: type, data: data}) do
    {_level, sections} = line(type)
    sections |> Enum.map(&section(&1, data)) |> IO.iodata_to_binary() |> plain()
  end

  for %{module: module, type: type, fields: fields} <- Event.Types.all() do
    {level, text} = Map.fetch!(@lines, module)

    # Every second section is the content of brackets.
    sections =
      for {section, n} <- Enum.with_index(String.split(text, ~r/[\[\]]/)),
          do: {if(rem(n, 2) == 0, do: :always, else: :if_present), parts.(section)}

    for {kind, parts} <- sections, name <- parts, is_atom(name) do
      Enum.any?(fields, &(&1.name == name and (&1.required? or kind == :if_present))) ||
        raise CompileError, description: "#{type} has no required field #{name}: #{text}"
    end

    defp line(unquote(type)), do: unquote(Macro.escape({level, sections}))
  end

  defp section({:always, parts}, data), do: Enum.map(parts, &part(&1, data))

  defp section({:if_present, parts}, data) do
    fields = for name <- parts, is_atom(name), do: data[name]
    if Enum.any?(fields, &(&1 in [nil, []])), do: "", else: Enum.map(parts, &part(&1, data))
  end

  defp part(text, _data) when is_binary(text), do: text
  defp part(name, data), do: data |> Map.fetch!(name) |> words()

  defp words(list) when is_list(list), do: Enum.join(list, ", ")
  defp words(value), do: to_string(value)

  # Guests choose their lines and the texts of their errors. Each stays one line, without control characters
  # that a terminal would obey.
  defp plain(text) do
    if String.valid?(text), do: String.replace(text, ~r/\p{Cc}/u, &escape/1), else: inspect(text)
  end

  defp escape(character) do
    character |> inspect(binaries: :as_strings) |> String.slice(1..-2//1)
  end
end
