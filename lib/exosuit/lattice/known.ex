defmodule Exosuit.Lattice.Known do
  @moduledoc false
  # The claims of a lattice's actors and providers, as its hosts write them down for each other: `CLAIMS_`
  # records, all texts, read from both eras; and the table of them, with one writer.
  #
  # Anybody on the bus can write such records. Therefore the table is bounded in number and bytes, and so is
  # each record. If there is no room, claims that this host's links need replace claims that nothing here needs;
  # others are dropped.

  alias Exosuit.{Error, Instance, Json}
  alias Exosuit.Protocol.Otp

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

  # As many as the router keeps in mind, and what they may take together: it has them, too.
  @most 65_536
  @most_bytes 33_554_432

  # Of one record. A token is not larger.
  @longest 65_536

  # How many are looked at to find one that nobody needs.
  @looked_at 64

  # Where the bytes of all are counted; rows of claims have another length.
  @bytes :bytes

  # No more digits than are read in no time, and no number that any reader of it cannot have.
  @longest_revision 20
  @most_revision 0x7FFF_FFFF_FFFF_FFFF

  @key ~r/\A[MV][A-Z2-7]{55}\z/

  @doc "An empty table. Public, as its owner is not its writer, who may be restarted."
  @spec table() :: :ets.tid()
  def table do
    table = :ets.new(:exosuit_known, [:set, :public, read_concurrency: true])
    true = :ets.insert(table, {@bytes, 0})
    table
  end

  @doc """
  Notes claims, and gives the keys whose claims had to go for that. `needed?` says of claims whether
  this host needs them.
  """
  @spec put(Instance.t(), claims(), (claims() -> boolean())) :: {:ok, [String.t()]} | :full
  def put(instance, claims, needed?) do
    delete(instance, claims.subject)
    put(instance.tables.known, claims, :erlang.external_size(claims), needed?, [])
  end

  @doc "How many bytes they may take together."
  @spec most_bytes() :: pos_integer()
  def most_bytes, do: @most_bytes

  @doc "How many bytes they take together."
  @spec bytes(Instance.t()) :: non_neg_integer()
  def bytes(instance), do: :ets.lookup_element(instance.tables.known, @bytes, 2)

  @doc "Forgets the claims of a key."
  @spec delete(Instance.t(), String.t()) :: :ok
  def delete(instance, key) do
    for row <- :ets.take(instance.tables.known, key), do: left(instance.tables.known, row)
    :ok
  end

  @doc "The claims of a key, or `nil`."
  @spec get(Instance.t(), String.t()) :: claims() | nil
  def get(instance, key) do
    case :ets.lookup(instance.tables.known, key) do
      [{_key, _size, claims}] -> claims
      [] -> nil
    end
  end

  @doc "All of them."
  @spec list(Instance.t()) :: [claims()]
  def list(instance), do: :ets.select(instance.tables.known, [{{:_, :_, :"$1"}, [], [:"$1"]}])

  @doc "Where claims stand."
  @spec place(String.t()) :: String.t()
  def place(key), do: "CLAIMS_" <> key

  @doc "The record of claims, encoded."
  @spec write(claims()) :: {:ok, binary()} | {:error, Error.t()}
  def write(claims), do: claims |> Otp.Records.encode_claims() |> Json.encode()

  @doc "What a record says of this key."
  @spec read(String.t(), binary()) :: {:ok, claims()} | {:error, Error.t()}
  def read(key, value) do
    with true <- byte_size(value) <= @longest,
         {:ok, %{} = fields} <- Json.decode(value),
         true <- key =~ @key and (text(fields, ["sub", "subject"]) || key) == key,
         {:ok, revision} <- revision(fields) do
      {:ok, claims(key, revision, fields)}
    else
      {:error, error} -> {:error, error}
      _other -> {:error, Error.new(:invalid_input, "expected the claims of #{inspect(key)}")}
    end
  end

  defp put(table, claims, size, needed?, gone) do
    cond do
      room?(table, size) ->
        :ets.update_counter(table, @bytes, size)
        true = :ets.insert(table, {claims.subject, size, claims})
        {:ok, gone}

      key = needed?.(claims) && spare(table, needed?) ->
        for row <- :ets.take(table, key), do: left(table, row)
        put(table, claims, size, needed?, [key | gone])

      true ->
        :full
    end
  end

  # One row counts the bytes.
  defp room?(table, size) do
    :ets.info(table, :size) <= @most and
      :ets.lookup_element(table, @bytes, 2) + size <= @most_bytes
  end

  defp spare(table, needed?) do
    case :ets.select(table, [{{:_, :_, :"$1"}, [], [:"$1"]}], @looked_at) do
      {some, _further} -> Enum.find_value(some, &(not needed?.(&1) && &1.subject))
      :"$end_of_table" -> nil
    end
  end

  defp left(table, {_key, size, _claims}), do: :ets.update_counter(table, @bytes, -size)

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

    with true <- byte_size(text) <= @longest_revision,
         {revision, ""} when revision in 0..@most_revision <- Integer.parse(text) do
      {:ok, revision}
    else
      _other -> :error
    end
  end
end
