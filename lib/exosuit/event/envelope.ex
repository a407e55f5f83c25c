defmodule Exosuit.Event.Envelope do
  @moduledoc false
  # What is around a fact on the wire, and what both generations say of claims.

  alias Exosuit.Event

  @prefix "com.wasmcloud.lattice."
  @most_revision 2_147_483_647

  @counts %{actors: :actors_count, components: :components_count, providers: :providers_count}
  @lists Map.keys(@counts)

  @doc "A CloudEvent of this name, as the n-th that one event of ours becomes."
  @spec wrap(Event.t(), String.t(), map(), String.t(), non_neg_integer()) :: map()
  def wrap(%Event{} = event, name, data, id, n) do
    %{
      specversion: "1.0",
      id: nth(id, n),
      source: event.source,
      type: @prefix <> name,
      time: DateTime.to_iso8601(event.time),
      datacontenttype: "application/json",
      data: data
    }
  end

  @doc """
  A heartbeat with counts in place of what runs on the host, for one that is larger than a message may
  be. The lists are empty then, as those who decode strictly want lists: `shortened` says that they are
  not all.
  """
  @spec shorten(map()) :: map()
  def shorten(%{data: data} = message) do
    counted =
      for {name, list} <- Map.take(data, @lists), into: %{}, do: {@counts[name], Enum.count(list)}

    empty = for {name, list} <- Map.take(data, @lists), into: %{}, do: {name, empty(list)}
    short = data |> Map.merge(counted) |> Map.merge(empty) |> Map.put(:shortened, true)
    %{message | data: short}
  end

  defp empty(%{}), do: %{}
  defp empty(_list), do: []

  @doc "What claims say, without holes; times as people read them. `nil` for none."
  @spec claims(map() | nil) :: map() | nil
  def claims(nil), do: nil

  def claims(claims) do
    %{
      call_alias: claims.call_alias || "",
      caps: claims.caps,
      issuer: claims.issuer,
      tags: claims.tags,
      name: claims.name || "",
      version: claims.version || "",
      revision: revision(claims.revision),
      not_before_human: time(claims.not_before, "immediately"),
      expires_human: time(claims.expires_at, "never")
    }
  end

  @doc "How many there are with which annotations: `[{annotations, instances}]`."
  @spec shares(map()) :: [{map(), non_neg_integer()}]
  def shares(%{shares: shares}), do: for(it <- shares, do: {it.annotations, it.instances})
  def shares(data), do: [{annotations(data), Map.get(data, :instances, 1)}]

  @doc "The annotations: others want an object, though it be empty."
  @spec annotations(map()) :: map()
  def annotations(data), do: Map.get(data, :annotations) || %{}

  @doc "A revision as all read it: no number is larger than theirs."
  @spec revision(integer() | nil) :: non_neg_integer()
  def revision(nil), do: 0
  def revision(revision), do: revision |> max(0) |> min(@most_revision)

  @doc "Sixteen bytes as a UUID is written."
  @spec uuid(<<_::128>>) :: String.t()
  def uuid(bytes) do
    <<p1::8-bytes, p2::4-bytes, p3::4-bytes, p4::4-bytes, p5::12-bytes>> =
      Base.encode16(bytes, case: :lower)

    Enum.join([p1, p2, p3, p4, p5], "-")
  end

  defp nth(id, 0), do: id

  # Version 8 of RFC 9562: made by rules of one's own.
  defp nth(id, n) do
    <<a::48, _::4, b::12, _::2, c::62, _::binary>> = :crypto.hash(:sha256, [id, <<n::32>>])
    uuid(<<a::48, 8::4, b::12, 2::2, c::62>>)
  end

  defp time(nil, word), do: word

  defp time(seconds, _word) do
    case DateTime.from_unix(seconds) do
      {:ok, time} -> DateTime.to_iso8601(time)
      {:error, _beyond} -> "never"
    end
  end
end
