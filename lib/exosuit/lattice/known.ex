defmodule Exosuit.Lattice.Known do
  @moduledoc false
  # The claims of a lattice's actors and providers, as its hosts write them down for each other: `CLAIMS_`
  # records, all texts, read from both eras; and the table of them, with one writer.

  alias Exosuit.{Config, Error, Json}

  @typedoc "What is known; `contract_id` is what a provider implements, `nil` for an actor."
  @type claims :: %{
          subject: String.t(),
          issuer: String.t() | nil,
          name: String.t() | nil,
          revision: integer(),
          version: String.t() | nil,
          call_alias: String.t() | nil,
          capabilities: [String.t()],
          tags: [String.t()],
          contract_id: String.t() | nil
        }

  # As many as the router keeps in mind.
  @most 65_536

  # What any number in a token has, and no more digits than are read in no time.
  @longest_revision 20

  @key ~r/\A[MV][A-Z2-7]{55}\z/

  @doc "An empty table. Public, as its owner is not its writer, who may be restarted."
  @spec table() :: :ets.tid()
  def table, do: :ets.new(:exosuit_known, [:set, :public, read_concurrency: true])

  @doc "Notes claims; past the bound, those that are not known yet are not noted."
  @spec put(Config.t(), claims()) :: :ok | :full
  def put(config, claims) do
    table = config.tables.known

    if :ets.info(table, :size) < @most or :ets.member(table, claims.subject) do
      :ets.insert(table, {claims.subject, claims})
      :ok
    else
      :full
    end
  end

  @doc "Forgets the claims of a key."
  @spec delete(Config.t(), String.t()) :: :ok
  def delete(config, key) do
    :ets.delete(config.tables.known, key)
    :ok
  end

  @doc "The claims of a key, or `nil`."
  @spec get(Config.t(), String.t()) :: claims() | nil
  def get(config, key) do
    case :ets.lookup(config.tables.known, key) do
      [{_key, claims}] -> claims
      [] -> nil
    end
  end

  @doc "All of them."
  @spec list(Config.t()) :: [claims()]
  def list(config), do: for({_key, claims} <- :ets.tab2list(config.tables.known), do: claims)

  @doc "Where claims stand."
  @spec place(String.t()) :: String.t()
  def place(key), do: "CLAIMS_" <> key

  @doc "The record of claims, encoded."
  @spec write(claims()) :: {:ok, binary()} | {:error, Error.t()}
  def write(claims), do: claims |> record() |> Json.encode()

  @doc "The record of claims: all of it text, as the OTP era has it."
  @spec record(claims() | map()) :: map()
  def record(claims) do
    %{
      call_alias: claims.call_alias || "",
      iss: claims.issuer || "",
      name: claims.name || "",
      caps: Enum.join(claims.capabilities, ","),
      rev: to_string(claims.revision),
      tags: Enum.join(claims.tags, ","),
      version: claims.version || "",
      sub: claims.subject,
      contract_id: claims.contract_id || ""
    }
  end

  @doc "What a record says of this key."
  @spec read(String.t(), binary()) :: {:ok, claims()} | {:error, Error.t()}
  def read(key, value) do
    with {:ok, %{} = fields} <- Json.decode(value),
         true <- key =~ @key and (text(fields, ["sub", "subject"]) || key) == key,
         {:ok, revision} <- revision(fields) do
      {:ok, claims(key, revision, fields)}
    else
      {:error, error} -> {:error, error}
      _other -> {:error, Error.new(:invalid_input, "expected the claims of #{inspect(key)}")}
    end
  end

  defp claims(key, revision, fields) do
    %{
      subject: key,
      issuer: text(fields, ["iss", "issuer"]),
      name: text(fields, ["name"]),
      revision: revision,
      version: text(fields, ["version"]),
      call_alias: text(fields, ["call_alias"]),
      capabilities: list(fields, "caps"),
      tags: list(fields, "tags"),
      contract_id: text(fields, ["contract_id"])
    }
  end

  # Copied: as part of what was decoded it would keep all of that.
  defp text(fields, names) do
    Enum.find_value(names, fn name ->
      case fields do
        %{^name => text} when is_binary(text) and text != "" -> :binary.copy(text)
        %{} -> nil
      end
    end)
  end

  defp list(fields, name) do
    case text(fields, [name]) do
      nil ->
        []

      text ->
        text
        |> String.split(",", trim: true)
        |> Enum.map(&(&1 |> String.trim() |> :binary.copy()))
    end
  end

  defp revision(fields) do
    text = text(fields, ["rev", "revision"]) || "0"

    with true <- byte_size(text) <= @longest_revision, {revision, ""} <- Integer.parse(text) do
      {:ok, revision}
    else
      _other -> :error
    end
  end
end
