defmodule Exosuit.App.Beat do
  @moduledoc """
  The beat: a JSON object that each member publishes on `exosuit.beat.<lattice>` every two seconds, to show the
  other members that it runs.

  `host` is the member's id; placement needs its `labels`, `features` and `schema`
  (`t:Exosuit.App.Placement.member/0`). `"leaving": true` is a member's last beat. Anybody who can reach the bus may
  send a beat. Therefore its size is bounded, and an invalid one is ignored. `Exosuit.Model.Labels` keeps the labels
  of a host within that bound.

      {"host": "NAB…", "labels": {"zone": "eu"}, "features": ["module:MyApp.Database"], "schema": 1}

  A beat has all facts, and not only those that changed. So a member that starts, or that missed some beats, knows the
  others after two seconds. A beat has no time in it: receivers count from its arrival, by their own clocks
  (`Exosuit.App.Machine.Members`).

  | part | bound | beyond it |
  |---|---|---|
  | the whole beat | 32 KiB | ignored |
  | `host` | 1 to 128 bytes of letters, digits, `_` and `-` | ignored |
  | `features` | 2 048 texts | ignored |

  The keys of a beat stay strings, so that no sender can make atoms. Texts are copied out of the message, because a part
  of a binary would keep all of it in memory.
  """

  alias Exosuit.{Instance, Json, Settings}
  alias Exosuit.App.{Placement, Record}

  @wadm_api "api:wadm"

  @max_bytes 32_768
  @max_features 2_048
  @max_id 128

  @doc "The subject of a lattice's beats. Lattices that share NATS servers do not hear each other's beats."
  @spec subject(Instance.t()) :: String.t()
  def subject(instance), do: "exosuit.beat." <> instance.config.lattice

  @doc """
  The facts of a host as a member of its lattice. Computed for each beat, because labels may change while the host runs.
  """
  @spec member(Instance.t()) :: Placement.member()
  def member(instance) do
    modules = for {name, _module} <- instance.config.providers, do: "module:" <> name
    features = if instance.config.wadm_api, do: [@wadm_api | modules], else: modules

    %{
      id: instance.source,
      labels: Settings.labels(instance),
      features: Enum.sort(features),
      schema: Record.schema()
    }
  end

  @doc "Whether a member answers wadm's API."
  @spec wadm_api?(Placement.member()) :: boolean()
  def wadm_api?(member), do: @wadm_api in member.features

  @doc """
  A beat as it is sent; an error if a label is not text. With `leaving: true`, it is the member's last one.

      iex> member = %{id: "N1", labels: %{}, features: [], schema: 1}
      iex> {:ok, text} = Exosuit.App.Beat.encode(member, leaving: true)
      iex> Exosuit.App.Beat.decode(text)
      {:left, "N1"}
  """
  @spec encode(Placement.member(), keyword()) :: {:ok, String.t()} | {:error, Exosuit.Error.t()}
  def encode(member, options \\ []) do
    {id, facts} = Map.pop!(member, :id)
    facts = if options[:leaving], do: Map.put(facts, :leaving, true), else: facts
    Json.encode(Map.put(facts, :host, id))
  end

  @doc """
  Reads a beat. Returns the facts of a member, the id of a member that leaves, or `:error`. Any bytes may be given.

      iex> {:ok, text} = Exosuit.App.Beat.encode(%{id: "N1", labels: %{"zone" => "eu"}, features: [], schema: 1})
      iex> Exosuit.App.Beat.decode(text)
      {:member, %{id: "N1", labels: %{"zone" => "eu"}, features: [], schema: 1}}
      iex> Exosuit.App.Beat.decode("hello")
      :error
  """
  @spec decode(binary()) :: {:member, Placement.member()} | {:left, String.t()} | :error
  def decode(text) when byte_size(text) > @max_bytes, do: :error

  def decode(text) do
    with true <- String.valid?(text), {:ok, %{"host" => id} = beat} <- Json.decode(text) do
      parse(id, beat)
    else
      _no_beat -> :error
    end
  end

  defp parse(id, beat) do
    cond do
      not id?(id) -> :error
      beat["leaving"] == true -> {:left, :binary.copy(id)}
      facts?(beat) -> {:member, to_member(id, beat)}
      true -> :error
    end
  end

  defp id?(id) do
    is_binary(id) and byte_size(id) in 1..@max_id and id =~ ~r/\A[\w-]+\z/
  end

  defp facts?(%{"labels" => %{} = labels, "features" => features, "schema" => schema}) do
    is_integer(schema) and schema > 0 and is_list(features) and
      length(features) <= @max_features and Enum.all?(features, &is_binary/1) and
      Enum.all?(labels, fn {_key, value} -> is_binary(value) end)
  end

  defp facts?(_other), do: false

  # Copied, because a part of a binary keeps the whole binary in memory.
  defp to_member(id, %{"labels" => labels, "features" => features, "schema" => schema}) do
    %{
      id: :binary.copy(id),
      labels: Map.new(labels, fn {key, it} -> {:binary.copy(key), :binary.copy(it)} end),
      features: Enum.map(features, &:binary.copy/1),
      schema: schema
    }
  end
end
