defmodule Exosuit.Deployer.Marks do
  @moduledoc false
  # What is noted on all that is deployed: whose it is, and what it was made of. Hosts of any making
  # keep annotations as they are, and tell them.

  alias Exosuit.Model.{Application, Configuration, Workload}

  # As wadm has them, so that each of the two sees what is the other's.
  @manager "wasmcloud.dev/managed-by"
  @application "wasmcloud.dev/appspec"
  @us "exosuit"

  # Configuration and limits, which no host tells: what has others is another one.
  @settings "exosuit.dev/settings"

  # The name of its configuration, by which it can be started again.
  @config "exosuit.dev/config"

  # What a file held, which its name does not say.
  @image "exosuit.dev/image"

  @doc "The annotations of a workload, those of its manifest among them."
  @spec annotations(Application.t(), Workload.t()) :: map()
  def annotations(%Application{name: name}, %Workload{} = workload) do
    marks = %{@manager => @us, @application => name, @settings => settings(workload)}
    image = if workload.digest, do: %{@image => workload.digest}, else: %{}
    names = config_names(workload.configs, workload.config)
    config = if names == [], do: %{}, else: %{@config => Enum.join(names, ",")}
    workload.annotations |> Map.merge(marks) |> Map.merge(image) |> Map.merge(config)
  end

  @doc """
  The names that a configuration goes by: none if it holds nothing. Where one part is stored in the
  lattice, all parts have names.
  """
  @spec config_names([String.t()], Configuration.t()) :: [String.t()]
  def config_names([_ | _] = names, _values), do: names
  def config_names([], values) when values == %{}, do: []
  def config_names([], values), do: [Configuration.name(values)]

  @doc "The command that starts what ran with these annotations once more."
  @spec start(%{id: String.t(), reference: String.t(), annotations: map()}) :: map()
  def start(%{annotations: annotations} = entry) do
    entry
    |> Map.take([:id, :reference, :annotations])
    |> Map.put(:config, String.split(annotations[@config] || "", ",", trim: true))
  end

  @doc "Whether what has these annotations is ours, and the application's."
  @spec ours?(map(), Application.t()) :: boolean()
  def ours?(annotations, %Application{name: name}) do
    annotations[@manager] == @us and annotations[@application] == name
  end

  @doc "Whether the two have the same settings: the one may become the other where it runs."
  @spec same_settings?(map(), map()) :: boolean()
  def same_settings?(one, other), do: one[@settings] == other[@settings]

  # As a hash: an environment that is granted may hold secrets.
  defp own(nil), do: %{}

  defp own(specification) do
    settings = Map.take(specification, [:limits, :warm, :grants])
    hash = :crypto.hash(:sha256, :erlang.term_to_binary(settings, minor_version: 2))
    %{"own" => Base.encode16(hash)}
  end

  @doc "Whether the two are of the same code, as far as one can see by their annotations."
  @spec same_image?(map(), map()) :: boolean()
  def same_image?(one, other), do: one[@image] == other[@image]

  defp settings(workload) do
    config = for {key, value} <- workload.config, into: %{}, do: {"config." <> key, value}
    limits = for {key, value} <- workload.limits, into: %{}, do: {"limit." <> key, value}

    stored =
      for {name, index} <- Enum.with_index(workload.configs),
          into: %{},
          do: {"stored.#{index}", name}

    config
    |> Map.merge(limits)
    |> Map.merge(stored)
    |> Map.merge(own(workload.specification))
    |> Configuration.name()
  end
end
