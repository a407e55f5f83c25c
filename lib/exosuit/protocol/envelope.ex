defmodule Exosuit.Protocol.Envelope do
  @moduledoc """
  The parts of events that both generations of wasmCloud have in common: the envelope, claims, instances. Pure.

  `Exosuit.Protocol.Otp.Events` and `Exosuit.Protocol.V1.Events` use them. Tools of both generations decode strictly, so
  every field is there: a missing text is an empty text, a missing time a word, and a revision fits into 32 bits.

  An event of Exosuit may become several CloudEvents. Each needs an id of its own, because tools drop repetitions of an
  id. The id of the first is the event's own; the others are a hash of it, so that a repeated encoding gives the same
  ids.
  """

  alias Exosuit.Event

  @prefix "com.wasmcloud.lattice."
  @max_revision 2_147_483_647

  @counts %{actors: :actors_count, components: :components_count, providers: :providers_count}
  @lists Map.keys(@counts)

  @doc """
  A CloudEvent of this name. `n` counts the CloudEvents that are made from one event, from 0.
  """
  @spec wrap(Event.t(), String.t(), map(), String.t(), non_neg_integer()) :: map()
  def wrap(%Event{} = event, name, data, id, n) do
    %{Event.to_cloud_event(event) | id: nth(id, n), type: @prefix <> name, data: data}
  end

  @doc """
  A heartbeat with counts instead of lists, if the full heartbeat is too large for a message. The lists are present
  but empty, because strict decoders require them. `shortened` says that they are incomplete.

      iex> short = Exosuit.Protocol.Envelope.shorten(%{data: %{components: [%{id: "shop"}], providers: []}})
      iex> short.data
      %{components: [], components_count: 1, providers: [], providers_count: 0, shortened: true}
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

  @doc """
  Claims with all fields filled in and times in words; `nil` if there are none. A time beyond the range of `DateTime`
  counts as never.
  """
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

  @doc """
  The instances of an actor by their annotations. Events of actors without groups count as one group.

      iex> Exosuit.Protocol.Envelope.shares(%{instances: 3, annotations: %{"zone" => "eu"}})
      [{%{"zone" => "eu"}, 3}]
  """
  @spec shares(map()) :: [{map(), non_neg_integer()}]
  def shares(%{shares: shares}), do: for(it <- shares, do: {it.annotations, it.instances})
  def shares(data), do: [{annotations(data), Map.get(data, :instances, 1)}]

  @doc "The annotations, as an object even if there are none: the tools require it."
  @spec annotations(map()) :: map()
  def annotations(data), do: Map.get(data, :annotations) || %{}

  @doc """
  A revision within the range that the tools read: 32 bits, signed.

      iex> Enum.map([nil, -1, 7, 5_000_000_000], &Exosuit.Protocol.Envelope.revision/1)
      [0, 0, 7, 2_147_483_647]
  """
  @spec revision(integer() | nil) :: non_neg_integer()
  def revision(nil), do: 0
  def revision(revision), do: revision |> max(0) |> min(@max_revision)

  defp nth(id, 0), do: id

  # Version 8 of RFC 9562, whose bits the application chooses.
  defp nth(id, n) do
    <<a::48, _::4, b::12, _::2, c::62, _::binary>> = :crypto.hash(:sha256, [id, <<n::32>>])
    Event.uuid(<<a::48, 8::4, b::12, 2::2, c::62>>)
  end

  defp time(nil, word), do: word

  defp time(seconds, _word) do
    case DateTime.from_unix(seconds) do
      {:ok, time} -> DateTime.to_iso8601(time)
      {:error, _beyond} -> "never"
    end
  end
end
