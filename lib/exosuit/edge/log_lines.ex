defmodule Exosuit.Edge.LogLines do
  @moduledoc false
  # Turns events and guests' lines into log lines: the only module of a host that logs.

  require Logger

  alias Exosuit.Event

  @failures ~w(actor_start_failed actor_update_failed provider_start_failed linkdef_set_failed retry_slow
    startup_failed identity_not_kept
    control_failed lattice_refused lattice_state_lost lattice_state_damaged lattice_state_not_kept)
  @warnings ~w(certificate_refused invocation_failed invocations_refused restarting lattice_disconnected lattice_unreachable
    lattice_slow_consumer lattice_lame_duck lattice_state_unavailable record_refused records_refused events_dropped hosts_ignored host_lost
    link_warning provider_warning heartbeat_shortened lattice_clock_skew lattice_state_dropped
    health_check_failed)
  # What happened elsewhere, too, or is as it was.
  @echoes ~w(link_applied link_removed health_check_passed health_check_status)

  @doc "A line that a guest wrote."
  @spec guest(String.t(), Logger.level(), String.t()) :: :ok
  def guest(actor, level, text) do
    Logger.log(level, fn -> {"[#{actor}] #{plain(text)}", actor: actor} end)
  end

  @doc "So many lines of guests were not logged."
  @spec dropped(pos_integer()) :: :ok
  def dropped(count) do
    Logger.warning("#{count} lines of guests were dropped: the log is written too slowly")
  end

  @doc "An event."
  @spec event(Event.t()) :: :ok
  def event(%Event{} = event), do: Logger.log(level(event.type), fn -> plain(text(event)) end)

  @doc "The same failure again, so many times."
  @spec repeated(Event.t(), pos_integer()) :: :ok
  def repeated(%Event{} = event, count) do
    Logger.warning(fn -> "#{plain(text(event))} (and #{count} more like it)" end)
  end

  defp level(type) when type in @failures, do: :error
  defp level(type) when type in @warnings, do: :warning
  defp level(type) when type in @echoes, do: :debug
  defp level(_type), do: :info

  defp text(%Event{type: "invocation_failed", data: data}) do
    "call refused or failed: #{data.source} -> #{data.target} #{data.operation}: #{data.error}"
  end

  defp text(%Event{type: "invocations_refused", data: data}) do
    "#{data.count} calls from the lattice to #{data.target} refused: #{data.error}"
  end

  defp text(%Event{type: "lattice_" <> what, data: %{connection: name} = data}) do
    "lattice (#{name} connection): #{words(what)}#{details(data)}"
  end

  defp text(%Event{type: type, data: data}), do: "#{words(type)}#{subject(data)}#{details(data)}"

  defp words(type), do: String.replace(type, "_", " ")

  defp subject(%{id: id}), do: " #{id}"
  defp subject(%{option: option}), do: " #{option}"

  defp subject(%{source: source, target: target} = link),
    do: " #{source} -> #{target} #{contract(link)}"

  defp subject(%{provider: id}), do: " #{id}"
  defp subject(%{config_name: name}), do: " #{name}"
  defp subject(%{key: key}), do: " #{key}"
  defp subject(%{host_id: id, friendly_name: name}) when is_binary(name), do: " #{name} (#{id})"
  defp subject(%{host_id: id}), do: " #{id}"
  defp subject(%{bucket: bucket}), do: " (#{bucket})"
  defp subject(_data), do: ""

  defp contract(%{namespace: namespace, package: package}), do: "#{namespace}:#{package}"
  defp contract(_data), do: ""

  defp details(%{after_ms: delay, error: error}), do: " in #{delay} ms: #{error}"
  defp details(%{error: error}), do: ": #{error}"
  defp details(%{warning: warning}), do: ": #{warning}"
  defp details(%{what: what}), do: ": #{what}"
  defp details(%{count: count}), do: ": #{count}"
  defp details(%{source: source, skew_ms: skew}), do: " of #{skew} ms by #{source}"
  defp details(%{reason: reason}), do: " (#{reason})"
  defp details(%{endpoints: [_ | _] = endpoints}), do: " at " <> Enum.join(endpoints, ", ")
  defp details(_data), do: ""

  # Guests choose their lines, and the words of their errors: each is one line of the log, and steers
  # no terminal.
  defp plain(text) do
    if String.valid?(text), do: String.replace(text, ~r/\p{Cc}/u, &escape/1), else: inspect(text)
  end

  defp escape(character) do
    character |> inspect(binaries: :as_strings) |> String.slice(1..-2//1)
  end
end
