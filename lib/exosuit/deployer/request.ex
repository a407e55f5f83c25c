defmodule Exosuit.Deployer.Request do
  @moduledoc false
  # Commands as messages of the control interface of 1.x, and the events that say what came of them.

  alias Exosuit.Deployer.Plan
  alias Exosuit.Error

  @doc "Where a command goes, and what it says."
  @spec message(Plan.step()) :: {subject :: String.t(), body :: map()}
  def message({host, {:stop_actor, it}}) do
    {"component.scale.#{host}",
     %{
       component_ref: it.reference,
       component_id: it.id,
       host_id: host,
       count: 0,
       annotations: it.annotations,
       allow_update: false
     }}
  end

  def message({host, {:scale_actor, it}}) do
    {"component.scale.#{host}",
     %{
       component_ref: it.reference,
       component_id: it.id,
       host_id: host,
       count: it.count,
       annotations: it.annotations,
       config: it.config,
       component_limits: it.limits,
       allow_update: true
     }
     |> with_permission(it)}
  end

  def message({host, {:update_actor, it}}) do
    {"component.update.#{host}",
     %{component_id: it.id, new_component_ref: it.reference, host_id: host}
     |> with_permission(it)}
  end

  def message({host, {:start_provider, it}}) do
    {"provider.start.#{host}",
     %{
       provider_ref: it.reference,
       provider_id: it.id,
       host_id: host,
       config: it.config,
       annotations: it.annotations
     }}
  end

  def message({host, {:stop_provider, id}}) do
    {"provider.stop.#{host}", %{provider_id: id, host_id: host}}
  end

  def message({:lattice, {:put_config, name, values}}), do: {"config.put.#{name}", values}

  def message({:lattice, {:link, link}}) do
    link.contract
    |> wit()
    |> Map.merge(%{
      source_id: link.source,
      target: link.target,
      name: link.name,
      interfaces: link.interfaces,
      source_config: link.source_configs,
      target_config: link.target_configs
    })
    |> then(&{"link.put", &1})
  end

  def message({:lattice, {:unlink, {source, contract, name}}}) do
    {"link.del", contract |> wit() |> Map.merge(%{source_id: source, name: name})}
  end

  @doc "Whether the answer says all, or an event is to follow."
  @spec told_later?(Plan.step()) :: boolean()
  def told_later?({place, _command}), do: place != :lattice

  @doc "What an event, decoded, says of a command: nothing, that it is done, or why not."
  @spec outcome(Plan.step(), term()) :: nil | :ok | {:error, Error.t()}
  def outcome({host, command}, %{"source" => host, "type" => type, "data" => %{} = data})
      when is_binary(type) do
    outcome(command, type |> String.split(".") |> List.last(), data)
  end

  def outcome(_step, _other), do: nil

  # Each set of annotations is told of by itself.
  defp outcome({kind, %{id: id} = it}, "component_scaled", %{"component_id" => id} = data)
       when kind in [:scale_actor, :stop_actor] do
    count = if kind == :stop_actor, do: 0, else: it.count
    if data["max_instances"] == count and data["annotations"] == it.annotations, do: :ok
  end

  # That what was replaced is gone is told as well, and is no answer.
  defp outcome({:update_actor, it}, "component_scaled", data) do
    if data["component_id"] == it.id and data["max_instances"] != 0, do: :ok
  end

  defp outcome({kind, %{id: id}}, "component_scale_failed", %{"component_id" => id} = data)
       when kind in [:stop_actor, :scale_actor, :update_actor],
       do: failure(data)

  defp outcome({:start_provider, %{id: id}}, "provider_started", %{"provider_id" => id}), do: :ok
  defp outcome({:stop_provider, id}, "provider_stopped", %{"provider_id" => id}), do: :ok

  defp outcome(
         {:start_provider, %{id: id}},
         "provider_start_failed",
         %{"provider_id" => id} = it
       ),
       do: failure(it)

  defp outcome(_command, _type, _data), do: nil

  # What hosts of other makings do not know.
  defp with_permission(body, %{allow_issuer_change: true}) do
    Map.put(body, :allow_issuer_change, true)
  end

  defp with_permission(body, _it), do: body

  defp failure(%{"error" => error}) when is_binary(error) do
    {:error, Error.new(:unavailable, error)}
  end

  defp failure(_data),
    do: {:error, Error.new(:unavailable, "the host reported a failure without a reason")}

  defp wit(contract) do
    [namespace, package] = String.split(contract, ":", parts: 2)
    %{wit_namespace: namespace, wit_package: package}
  end
end
