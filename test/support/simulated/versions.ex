defmodule Exosuit.Simulated.Versions do
  @moduledoc false
  # Versions of applications, without manifests: models with a few workloads, and what becomes of each version
  # on a host. `:good` runs; `:refused` is refused for good, on all hosts or on some; `:hangs` never runs.

  alias Exosuit.App.Model
  alias Exosuit.Model.{Application, Digest, Workload}

  @doc "The names of all applications."
  def apps, do: ~w(a b c)

  def make(name, number, fate) do
    unique = "#{name}-#{number}-#{:rand.uniform(1_000_000_000)}"
    workloads = for n <- 1..:rand.uniform(3), do: workload("#{name}-w#{n}", unique)
    manifest = %{"name" => name, "components" => [], "providers" => [], "links" => []}
    application = %Application{name: name, workloads: workloads}

    %{
      digest: Digest.of(unique),
      model: %Model{manifest: manifest, application: application},
      objects: [Digest.of("object " <> unique)],
      fate: fate
    }
  end

  # A singleton may be one in all versions, or become one.
  defp workload(id, unique) do
    singleton? = String.ends_with?(id, "w1") or :rand.uniform(6) == 1

    scaler =
      Enum.random([:everywhere, :everywhere, :spread] ++ if(singleton?, do: [], else: [:daemon]))

    %Workload{
      id: id,
      role: Enum.random([:actor, :actor, :provider]),
      reference: "exosuit+object://" <> Digest.of("object " <> unique),
      instances: :rand.uniform(4),
      scaler: scaler,
      singleton?: singleton?,
      spreads: if(scaler == :everywhere, do: [], else: spreads())
    }
  end

  defp spreads do
    Enum.random([
      [%{name: "all", requirements: %{}, weight: 1}],
      [
        %{name: "a", requirements: %{"zone" => "a"}, weight: 1},
        %{name: "all", requirements: %{}, weight: 2}
      ]
    ])
  end

  def outcome(%{fate: :good}, _host), do: :running
  def outcome(%{fate: :hangs}, _host), do: {:starting, nil}
  def outcome(%{fate: :refused}, _host), do: {:refused, error(), true}

  def outcome(%{fate: {:refused_on, hosts}}, host) do
    if host in hosts, do: {:refused, error(), true}, else: :running
  end

  defp error, do: Exosuit.Error.new(:invalid_module, "it is not Wasm")
end
