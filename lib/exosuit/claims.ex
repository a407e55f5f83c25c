defmodule Exosuit.Claims do
  @moduledoc """
  What an actor's signed token says: who issued it, what it is called, which capabilities it may use.

  Issuers, subjects and capabilities are as in the token; `revision` is the effective one (the issue
  time where none is given). Times are Unix seconds.
  """

  alias Exosuit.{Config, Error, Native}

  @type t :: %__MODULE__{
          subject: String.t(),
          issuer: String.t(),
          name: String.t() | nil,
          revision: integer(),
          version: String.t() | nil,
          call_alias: String.t() | nil,
          capabilities: [String.t()],
          tags: [String.t()],
          not_before: non_neg_integer() | nil,
          expires_at: non_neg_integer() | nil
        }

  @enforce_keys [:subject, :issuer, :revision]
  defstruct [
    :subject,
    :issuer,
    :name,
    :revision,
    :version,
    :call_alias,
    :not_before,
    :expires_at,
    capabilities: [],
    tags: []
  ]

  @doc """
  Checks the token of a Wasm module by the host's rules: `:unsigned` where it has none and may.
  """
  @spec admit(binary(), Config.t()) :: {:ok, t() | :unsigned} | {:error, Error.t()}
  def admit(bytes, %Config{} = config) do
    unsigned? = config.unsigned == :allow
    legacy? = config.legacy_hash == :ignore

    case Native.claims_admit(bytes, config.trusted_issuers, unsigned?, legacy?) do
      {:ok, :unsigned} -> {:ok, :unsigned}
      {:ok, claims} -> {:ok, struct!(__MODULE__, claims)}
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc "A new identity: its public key and seed. The seed is secret."
  @spec generate_key(String.t()) :: {:ok, {String.t(), String.t()}} | {:error, Error.t()}
  def generate_key(kind) do
    with {:error, failure} <- Native.key_generate(kind), do: {:error, Error.from_native(failure)}
  end

  @doc false
  # As the router takes it.
  @spec identity(t() | :unsigned) ::
          {String.t() | nil, String.t() | nil, [String.t()] | :links, non_neg_integer() | nil}
  def identity(:unsigned), do: {nil, nil, :links, nil}

  def identity(%__MODULE__{} = claims) do
    {claims.subject, claims.call_alias, claims.capabilities, claims.expires_at}
  end

  @doc "The fields that events and inventories show."
  @spec public(t() | :unsigned) :: map() | nil
  def public(:unsigned), do: nil

  def public(%__MODULE__{} = claims) do
    %{
      issuer: claims.issuer,
      name: claims.name,
      revision: claims.revision,
      version: claims.version,
      call_alias: claims.call_alias,
      caps: claims.capabilities,
      tags: claims.tags,
      not_before: claims.not_before,
      expires_at: claims.expires_at
    }
  end
end
