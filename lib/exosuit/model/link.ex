defmodule Exosuit.Model.Link do
  @moduledoc """
  A link: joins a source and a target for one capability, with configuration for either end.

  An OTP-era contract `a:b` is namespace `a`, package `b`, no interfaces; its `values` are `target_config`.
  `source_configs` and `target_configs` are the names of the stored configurations whose values the two ends have, if
  any.

  When an actor is stopped for good, its links hold only for code of the same issuer and public key, unless a
  link `outlives` the actor or belongs to an `app`. Neither field is shared in a lattice.

  The router checks each call against the links: without one, a source may not use the capability of a target.

  | field | |
  |---|---|
  | `source`, `target` | ids, or public keys |
  | `namespace`, `package` | the capability: `wasi`, `keyvalue` |
  | `interfaces` | of the package; an empty list means all of them |
  | `name` | distinguishes several links for one capability; `"default"` if there is one |
  | `source_config`, `target_config` | the values for either end, merged from the named configurations |
  | `source_configs`, `target_configs` | the names, so that a change of a configuration reaches the link |

  `inspect/1` leaves the values out, which may be secrets.
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

  @doc """
  The key of a link.

      iex> link = %Exosuit.Model.Link{source: "shop", target: "kv", namespace: "wasi", package: "keyvalue"}
      iex> Exosuit.Model.Link.key(link)
      {"shop", "wasi:keyvalue", "default"}
  """
  @spec key(t()) :: key()
  def key(%__MODULE__{} = link), do: {link.source, contract(link), link.name}

  @doc """
  Namespace and package as the OTP era writes them.

      iex> link = %Exosuit.Model.Link{source: "a", target: "b", namespace: "wasi", package: "http"}
      iex> Exosuit.Model.Link.contract(link)
      "wasi:http"
  """
  @spec contract(t()) :: String.t()
  def contract(%__MODULE__{namespace: namespace, package: package}), do: "#{namespace}:#{package}"

  @doc """
  Whether two links of one key cover a common interface; an empty list means all.

      iex> Exosuit.Model.Link.overlap?(%{interfaces: ["store"]}, %{interfaces: ["atomics"]})
      false
      iex> Exosuit.Model.Link.overlap?(%{interfaces: ["store"]}, %{interfaces: []})
      true
  """
  @spec overlap?(covering, covering) :: boolean()
        when covering: %{required(:interfaces) => [String.t()], optional(atom()) => term()}
  def overlap?(%{interfaces: one}, %{interfaces: other}) do
    one == [] or other == [] or Enum.any?(one, &(&1 in other))
  end

  @public ~w(source target name namespace package interfaces source_configs target_configs)a

  @doc """
  The fields that events and inventories show. They include the names of configurations, but no values, which may be
  secrets.
  """
  @spec public(t()) :: map()
  def public(%__MODULE__{} = link), do: Map.take(link, @public)
end
