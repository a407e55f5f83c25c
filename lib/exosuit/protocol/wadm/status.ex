defmodule Exosuit.Protocol.Wadm.Status do
  @moduledoc """
  The status of an application in the form of wadm's API, made from `Exosuit.App.status/2`. Pure.

  | type | means |
  |---|---|
  | `undeployed` | the application should not run |
  | `waiting` | no host has reported on the application yet |
  | `reconciling` | a part does not run yet; the message says which part, and why |
  | `deployed` | all parts run |
  | `failed` | a part is refused, or no host has the labels that it requires |
  """

  @typedoc "The result of `Exosuit.App.status/2`."
  @type overview :: map()

  @typedoc """
  The status as tools of wadm decode it. `components` is always empty: it is deprecated, and required.
  """
  @type t :: %{
          status: info(),
          scalers: [map()],
          version: String.t(),
          components: []
        }

  @typedoc "A type of the table above, and a message for people, cut beyond 4 096 bytes."
  @type info :: %{type: String.t(), message: String.t()}

  @max_message 4_096

  @doc """
  The status of an application whose version is called `version`. Each component has a scaler with a status of its own.
  """
  @spec encode(overview(), String.t()) :: t()
  def encode(%{status: :undeployed}, version), do: undeployed("it is not deployed", version)

  def encode(overview, version) do
    scalers = Enum.map(overview.components, &scaler/1)
    status(summary(overview, scalers), scalers, version)
  end

  @doc "The status of an application that should not run, or that does not exist."
  @spec undeployed(String.t(), String.t()) :: t()
  def undeployed(message, version \\ ""), do: status(info("undeployed", [message]), [], version)

  @doc "The status of an application on which no host has reported yet."
  @spec waiting(String.t(), String.t()) :: t()
  def waiting(message, version), do: status(info("waiting", [message]), [], version)

  @doc """
  The word of wadm 0.7 for the type of a status.

      iex> Exosuit.Protocol.Wadm.Status.old_type(Exosuit.Protocol.Wadm.Status.waiting("no host yet", "1"))
      "undeployed"
  """
  @spec old_type(t()) :: String.t()
  def old_type(%{status: %{type: "deployed"}}), do: "ready"
  def old_type(%{status: %{type: "reconciling"}}), do: "compensating"
  def old_type(%{status: %{type: "waiting"}}), do: "undeployed"
  def old_type(%{status: %{type: type}}), do: type

  defp status(info, scalers, version) do
    %{status: info, scalers: scalers, version: version, components: []}
  end

  # If a version failed, an older one runs. The message says so for people who wait for the failed one.
  defp summary(%{status: :running} = overview, _scalers) do
    info("deployed", for(it <- overview.failed, do: "version #{it.version} failed: #{it.reason}"))
  end

  defp summary(%{status: :failed} = overview, _scalers), do: info("failed", overview.missing)

  defp summary(overview, scalers) do
    failed? = Enum.any?(scalers, &(&1.status.type == "failed"))
    info(if(failed?, do: "failed", else: "reconciling"), overview.missing)
  end

  defp info(type, messages) do
    %{type: type, message: messages |> Enum.join("; ") |> shorten()}
  end

  defp scaler(component) do
    %{
      id: component.id,
      kind: kind(component.scaler),
      name: component.id,
      status: info(type(component), component.missing)
    }
  end

  defp kind(:daemon), do: "DaemonScaler"
  defp kind(_spread), do: "SpreadScaler"

  defp type(%{missing: []}), do: "deployed"
  defp type(%{wanted: 0}), do: "failed"

  defp type(%{hosts: hosts}) do
    if Enum.any?(hosts, &(&1.wanted > 0 and &1.status == :refused)),
      do: "failed",
      else: "reconciling"
  end

  defp shorten(text) when byte_size(text) <= @max_message, do: text
  defp shorten(text), do: String.slice(text, 0, div(@max_message, 4)) <> "…"
end
