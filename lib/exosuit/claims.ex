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

  @doc "The public key of a seed of this kind."
  @spec public_key(String.t(), String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def public_key(kind, seed) do
    with {:error, failure} <- Native.key_public(kind, seed),
         do: {:error, Error.from_native(failure)}
  end

  @doc """
  Whether code with the claims `new` may take the place of code with the claims `current`: the same
  public key, and a greater revision. `force?` takes the same revision, too, and is needed where
  there are no claims to compare.
  """
  @spec check_update(t() | :unsigned, t() | :unsigned, boolean()) :: :ok | {:error, Error.t()}
  def check_update(:unsigned, :unsigned, true), do: :ok

  def check_update(:unsigned, :unsigned, false) do
    {:error, Error.new(:conflict, "unsigned code has no revision to go by: it must be forced")}
  end

  def check_update(%__MODULE__{subject: key} = current, %__MODULE__{subject: key} = new, force?) do
    cond do
      new.revision > current.revision -> :ok
      new.revision == current.revision and force? -> :ok
      true -> {:error, Error.new(:conflict, not_greater(current, new))}
    end
  end

  def check_update(current, new, _force?) do
    detail = "the public key is #{key(new)}, but #{key(current)} runs: that is another actor"
    {:error, Error.new(:invalid_claims, detail)}
  end

  defp not_greater(%{revision: same}, %{revision: same}) do
    "revision #{same} runs already, a greater one is expected, or the same one forced"
  end

  defp not_greater(current, new) do
    "revision #{new.revision} is older than #{current.revision}, which runs; a greater one is expected"
  end

  defp key(:unsigned), do: "none (unsigned)"
  defp key(%__MODULE__{subject: subject}), do: subject

  @doc """
  What the lattice is told of them, see `Exosuit.claims/1`. Of an actor, hence of no contract.
  """
  @spec known(t()) :: map()
  def known(%__MODULE__{} = claims) do
    claims
    |> Map.take([:subject, :issuer, :name, :revision, :version, :call_alias, :capabilities, :tags])
    |> Map.put(:contract_id, nil)
  end

  @doc false
  # As the router takes it.
  @spec identity(t() | :unsigned) :: %{
          public_key: String.t() | nil,
          call_alias: String.t() | nil,
          capabilities: [String.t()] | :links,
          expires_at: non_neg_integer() | nil
        }
  def identity(:unsigned) do
    %{public_key: nil, call_alias: nil, capabilities: :links, expires_at: nil}
  end

  def identity(%__MODULE__{} = claims) do
    fields = Map.take(claims, [:call_alias, :capabilities, :expires_at])
    Map.put(fields, :public_key, claims.subject)
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
