defmodule Exosuit.Claims do
  @moduledoc """
  The claims of an actor's signed token: its issuer, its names, and the capabilities that it may use.

  Issuers, subjects and capabilities are as in the token. If the token has no revision, `revision` is its time of
  issue. Times are Unix seconds.
  """

  alias Exosuit.{Config, Error, Native}
  alias Exosuit.Native.Answer

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
  Checks the token of a Wasm module by the rules of the host. Returns `:unsigned` for unsigned code, if the host
  allows it.
  """
  @spec admit(binary(), Config.t()) :: {:ok, t() | :unsigned} | {:error, Error.t()}
  def admit(bytes, %Config{} = config) do
    unsigned? = config.unsigned == :allow
    legacy? = config.legacy_hash == :ignore

    admit = fn -> Native.claims_admit(bytes, config.trusted_issuers, unsigned?, legacy?) end

    case Answer.checked(admit) do
      {:ok, :unsigned} -> {:ok, :unsigned}
      {:ok, claims} -> {:ok, struct!(__MODULE__, claims)}
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc """
  Generates a key pair. Returns its public key and its seed. The seed is secret.

  The kind is `"account"` (an issuer), `"module"` (an actor), `"provider"`, `"server"` (a host), `"cluster"`,
  `"operator"` or `"user"`. For any other kind, the error is `:invalid_input`.

      iex> {:ok, {public_key, seed}} = Exosuit.Claims.generate_key("account")
      iex> {String.first(public_key), String.slice(seed, 0, 2)}
      {"A", "SA"}
      iex> Exosuit.Claims.public_key("account", seed) == {:ok, public_key}
      true
  """
  @spec generate_key(String.t()) :: {:ok, {String.t(), String.t()}} | {:error, Error.t()}
  def generate_key(kind) do
    with {:error, failure} <- Native.key_generate(kind), do: {:error, Error.from_native(failure)}
  end

  @doc """
  Returns the public key of a seed of this kind.

      iex> {:ok, {_public_key, seed}} = Exosuit.Claims.generate_key("module")
      iex> {:error, error} = Exosuit.Claims.public_key("account", seed)
      iex> error.detail
      "expected the seed of a account key, this one is of another kind"
  """
  @spec public_key(String.t(), String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def public_key(kind, seed) do
    with {:error, failure} <- Native.key_public(kind, seed),
         do: {:error, Error.from_native(failure)}
  end

  @typedoc """
  Special permissions of an update: `force` allows the same revision again and unsigned code;
  `allow_issuer_change` allows code of another issuer.
  """
  @type permissions :: %{force: boolean(), allow_issuer_change: boolean()}

  @doc """
  Checks whether code with the claims `new` may replace running code with the claims `current`. The new code needs
  the same public key, the same issuer and a greater revision, unless the permissions allow more.

      iex> running = %Exosuit.Claims{subject: "M1", issuer: "A1", revision: 2}
      iex> no = %{force: false, allow_issuer_change: false}
      iex> Exosuit.Claims.check_update(running, %{running | revision: 3}, no)
      :ok
      iex> {:error, error} = Exosuit.Claims.check_update(running, %{running | revision: 1}, no)
      iex> {error.reason, error.detail}
      {:conflict, "revision 1 is older than 2, which runs: expected a greater one"}
  """
  @spec check_update(t() | :unsigned, t() | :unsigned, permissions()) :: :ok | {:error, Error.t()}
  def check_update(:unsigned, :unsigned, %{force: true}), do: :ok

  def check_update(:unsigned, :unsigned, _permissions) do
    {:error, Error.new(:conflict, "unsigned code has no revision to compare: force the update")}
  end

  def check_update(%__MODULE__{subject: key} = current, %__MODULE__{subject: key} = new, it) do
    with :ok <- check_issuer(current, new, it) do
      cond do
        new.revision > current.revision -> :ok
        new.revision == current.revision and it.force -> :ok
        true -> {:error, Error.new(:conflict, not_greater(current, new))}
      end
    end
  end

  def check_update(current, new, _permissions) do
    detail =
      "expected an update for the running actor #{key(current)}, got another actor, #{key(new)}"

    {:error, Error.new(:invalid_claims, detail)}
  end

  @doc """
  Checks whether an actor with the claims `new` may replace an actor with the claims `current` under its id, and
  inherit its links and data. The issuer must be the same. Any code may replace unsigned code, which has no issuer to
  protect.

      iex> running = %Exosuit.Claims{subject: "M1", issuer: "A1", revision: 2}
      iex> no = %{force: false, allow_issuer_change: false}
      iex> Exosuit.Claims.check_issuer(:unsigned, running, no)
      :ok
      iex> {:error, error} = Exosuit.Claims.check_issuer(running, :unsigned, no)
      iex> error.reason
      :invalid_claims
  """
  @spec check_issuer(t() | :unsigned, t() | :unsigned, permissions()) :: :ok | {:error, Error.t()}
  def check_issuer(_current, _new, %{allow_issuer_change: true}), do: :ok
  def check_issuer(:unsigned, _new, _permissions), do: :ok
  def check_issuer(%{issuer: issuer}, %{issuer: issuer}, _permissions), do: :ok

  def check_issuer(%{issuer: current}, new, _permissions) do
    detail =
      "the issuer is #{issuer(new)}, but #{current} signed the running code: an update needs the " <>
        "same issuer, unless allow_issuer_change allows another one"

    {:error, Error.new(:invalid_claims, detail)}
  end

  defp issuer(:unsigned), do: "none (unsigned)"
  defp issuer(%__MODULE__{issuer: issuer}), do: issuer

  defp not_greater(%{revision: same}, %{revision: same}) do
    "revision #{same} runs already: expected a greater one, or a forced update"
  end

  defp not_greater(current, new) do
    "revision #{new.revision} is older than #{current.revision}, which runs: expected a greater one"
  end

  defp key(:unsigned), do: "none (unsigned)"
  defp key(%__MODULE__{subject: subject}), do: subject

  @doc """
  Returns the claims as published to the lattice, see `Exosuit.claims/1`. The `:contract_id` of an actor is `nil`.

      iex> claims = %Exosuit.Claims{subject: "M1", issuer: "A1", revision: 2, expires_at: 1_900_000_000}
      iex> known = Exosuit.Claims.known(claims)
      iex> {known.subject, known.contract_id, Map.has_key?(known, :expires_at)}
      {"M1", nil, false}
  """
  @spec known(t()) :: map()
  def known(%__MODULE__{} = claims) do
    claims
    |> Map.take([:subject, :issuer, :name, :revision, :version, :call_alias, :capabilities, :tags])
    |> Map.put(:contract_id, nil)
  end

  @doc false
  # Returns the claims in the form that the router takes.
  @spec identity(t() | :unsigned) :: Exosuit.Router.identity()
  def identity(:unsigned) do
    %{public_key: nil, issuer: nil, call_alias: nil, capabilities: :links, expires_at: nil}
  end

  def identity(%__MODULE__{} = claims) do
    fields = Map.take(claims, [:issuer, :call_alias, :capabilities, :expires_at])
    Map.put(fields, :public_key, claims.subject)
  end

  @doc "Returns the fields that events and inventories show."
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
