defmodule Exosuit.Model.Link do
  @moduledoc """
  Source → target for one capability, with configuration for either end.

  An OTP-era contract `a:b` is namespace `a`, package `b`, no interfaces; its `values` are
  `target_config`. `source_configs` and `target_configs` are the names of the configurations that
  the two were made of, where they were made of such.

  When an actor is stopped for good, its links hold only for code of the same issuer and public key, unless a
  link `outlives` the actor or belongs to an `app`. Neither field is shared in a lattice.
  """

  @type t :: %__MODULE__{
          source: String.t(),
          target: String.t(),
          name: String.t(),
          namespace: String.t(),
          package: String.t(),
          interfaces: [String.t()],
          source_config: %{optional(String.t()) => String.t()},
          target_config: %{optional(String.t()) => String.t()},
          source_configs: [String.t()],
          target_configs: [String.t()],
          app: String.t() | nil,
          outlives: boolean()
        }

  @typedoc """
  The key of a link: source, contract, name. Links of one key cover different interfaces.
  """
  @type key :: {String.t(), String.t(), String.t()}

  # Configuration may hold secrets.
  @derive {Inspect, except: [:source_config, :target_config]}
  @enforce_keys [:source, :target, :namespace, :package]
  defstruct [
    :source,
    :target,
    :namespace,
    :package,
    :app,
    name: "default",
    interfaces: [],
    source_config: %{},
    target_config: %{},
    source_configs: [],
    target_configs: [],
    outlives: false
  ]

  @doc "What the link is found by."
  @spec key(t()) :: key()
  def key(%__MODULE__{} = link), do: {link.source, contract(link), link.name}

  @doc "Namespace and package as the OTP era writes them: `wasmcloud:keyvalue`."
  @spec contract(t()) :: String.t()
  def contract(%__MODULE__{namespace: namespace, package: package}), do: "#{namespace}:#{package}"

  @doc "Whether they cover an interface in common, as links of one key; none stands for all."
  @spec overlap?(covering, covering) :: boolean()
        when covering: %{required(:interfaces) => [String.t()], optional(atom()) => term()}
  def overlap?(%{interfaces: one}, %{interfaces: other}) do
    one == [] or other == [] or Enum.any?(one, &(&1 in other))
  end

  @public ~w(source target name namespace package interfaces source_configs target_configs)a

  @doc """
  The fields that events and inventories show. Configuration may hold secrets: it stays out, but for the
  names of what is kept by name.
  """
  @spec public(t()) :: map()
  def public(%__MODULE__{} = link), do: Map.take(link, @public)
end
