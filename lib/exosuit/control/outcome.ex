defmodule Exosuit.Control.Outcome do
  @moduledoc false
  # What came of each step to an application, as the control socket tells it. Where a lattice of many
  # hosts was told, `host` says which, and `host_name` what people call it; what all share has none.

  alias Exosuit.Deployer
  alias Exosuit.Host.Deployment

  # What they are in the words of one host, where these are others.
  @steps %{
    scale_actor: {:scale, :actor},
    stop_actor: {:stop, :actor},
    update_actor: {:update, :actor},
    start_provider: {:start, :provider},
    stop_provider: {:stop, :provider}
  }

  @doc "An outcome as a map, for JSON; `names` are those of hosts, by their ids."
  @spec public(Deployment.outcome() | Deployer.outcome(), %{optional(String.t()) => String.t()}) ::
          map()
  def public(outcome, names \\ %{})

  def public({{place, command}, result}, names)
      when is_binary(place) or place in [:lattice, :nowhere] do
    host = if is_binary(place), do: place
    named = %{host: host, host_name: host && names[host], error: failure(result)}
    command |> command() |> Map.merge(named)
  end

  def public({{step, what}, result}, _names) do
    what |> subject() |> Map.merge(%{step: step, error: failure(result)})
  end

  defp command({kind, it}) when is_map_key(@steps, kind) do
    {step, role} = @steps[kind]
    %{step: step, kind: role, id: id(it)}
  end

  defp command({:link, link}), do: Map.put(subject(link_key(link)), :step, :link)
  defp command({:unlink, key}), do: Map.put(subject(key), :step, :unlink)
  defp command({:put_config, name, _values}), do: %{step: :put, kind: :config, id: name}

  # Nothing was sent: it has no place, or its name is another's.
  defp command({:unplaced, id, _spread, _count}), do: %{step: :place, kind: :part, id: id}
  defp command({:taken, id}), do: %{step: :place, kind: :part, id: id}
  defp command(:inventory), do: %{step: :ask, kind: :host, id: nil}

  defp link_key(link), do: {link.source, link.contract, link.name}

  defp id(%{id: id}), do: id
  defp id(id), do: id

  defp subject({role, id}) when is_atom(role), do: %{kind: role, id: id}

  defp subject({source, contract, name}) do
    %{kind: :link, source: source, contract: contract, name: name}
  end

  defp subject(%{source: source, namespace: namespace, package: package, name: name}) do
    subject({source, "#{namespace}:#{package}", name})
  end

  defp subject(%{instances: _actor, id: id}), do: %{kind: :actor, id: id}
  defp subject(%{id: id}), do: %{kind: :provider, id: id}

  defp failure(:ok), do: nil
  defp failure({:error, error}), do: %{code: error.reason, detail: Exception.message(error)}
end
