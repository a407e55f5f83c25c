defmodule Exosuit.Protocol.Otp.Claims do
  @moduledoc """
  The claims of actors and providers as hosts store them for each other, under `CLAIMS_<public key>`. Pure.

  Hosts of the OTP era write all values as texts, and so does Exosuit; the names of 1.x are read as well. Lists are
  texts with commas.

  Anybody on the bus can write such records, so nothing in them is trusted: a record has 64 KiB at most, its subject
  must be the key of the record, and a revision must fit into 63 bits. A text of another kind counts as absent.
  """

  alias Exosuit.{Error, Json}

  @typedoc "Claims. `contract_id` is the contract of a provider, `nil` for an actor."
  @type t :: %{
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

  # The largest token.
  @max_bytes 65_536

  # A bound that every reader's integers can hold, so that no text of digits takes long to parse.
  @max_revision_digits 20
  @max_revision 0x7FFF_FFFF_FFFF_FFFF

  @subject ~r/\A[MV][A-Z2-7]{55}\z/

  @doc """
  The key of the record with the claims of this subject.

      iex> Exosuit.Protocol.Otp.Claims.key("MABC")
      "CLAIMS_MABC"
  """
  @spec key(String.t()) :: String.t()
  def key(subject), do: "CLAIMS_" <> subject

  @doc "Encodes a record."
  @spec encode(t()) :: {:ok, binary()} | {:error, Error.t()}
  def encode(claims), do: claims |> to_map() |> Json.encode()

  @doc "The record as a map for JSON, as clients list it."
  @spec to_map(t()) :: map()
  def to_map(claims) do
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

  @doc """
  Decodes the record with the claims of this subject, which comes from the record's key. `:invalid_input` if the record
  is not an object of JSON, is too large, or is about another subject.
  """
  @spec decode(String.t(), binary()) :: {:ok, t()} | {:error, Error.t()}
  def decode(subject, record) do
    with true <- byte_size(record) <= @max_bytes,
         {:ok, %{} = fields} <- Json.decode(record),
         true <- subject =~ @subject,
         true <- (text(fields, ["sub", "subject"]) || subject) == subject,
         {:ok, revision} <- revision(fields) do
      {:ok, claims(subject, revision, fields)}
    else
      {:error, error} -> {:error, error}
      _other -> {:error, Error.new(:invalid_input, "expected the claims of #{inspect(subject)}")}
    end
  end

  defp claims(subject, revision, fields) do
    %{
      subject: subject,
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

  # Texts are copied: as parts of the record they would keep all of it in memory.
  defp text(fields, names) do
    Enum.find_value(names, fn name ->
      case fields do
        %{^name => text} when is_binary(text) and text != "" -> :binary.copy(text)
        %{} -> nil
      end
    end)
  end

  defp list(fields, name) do
    (text(fields, [name]) || "")
    |> String.split(",", trim: true)
    |> Enum.map(&(&1 |> String.trim() |> :binary.copy()))
  end

  defp revision(fields) do
    text = text(fields, ["rev", "revision"]) || "0"

    with true <- byte_size(text) <= @max_revision_digits,
         {revision, ""} when revision in 0..@max_revision <- Integer.parse(text) do
      {:ok, revision}
    else
      _other -> :error
    end
  end
end
