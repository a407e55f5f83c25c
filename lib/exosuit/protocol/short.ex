defmodule Exosuit.Protocol.Short do
  @moduledoc """
  Encodes replies that fit into a message. Pure.

  A larger reply is cut: the ends of its lists are left out, `shortened` is true, and each list has a count beside it
  (`actors_count`). A reply of 1.x also says so in its `message`, for people. A client therefore gets an answer that
  its decoder accepts, and can tell that it is incomplete.

      iex> reply = %{claims: for(n <- 1..100, do: %{sub: "M" <> Integer.to_string(n)})}
      iex> {:ok, text} = Exosuit.Protocol.Short.encode(reply, 200)
      iex> {:ok, short} = Exosuit.Json.decode(text)
      iex> {byte_size(text) <= 200, short["claims_count"], short["shortened"], length(short["claims"]) < 100}
      {true, 100, true, true}
  """

  alias Exosuit.{Error, Json}

  @counts %{
    actors: :actors_count,
    components: :components_count,
    providers: :providers_count,
    claims: :claims_count,
    links: :links_count
  }

  # Leaves a margin, as some items are longer than others.
  @margin 0.9

  @doc """
  Encodes a reply on one line of at most `max` bytes. It is a `:limit` error if the reply is longer even without its
  lists.

  The lists are cut by the same share, from the size of the last try, until the text fits. Each try is smaller than the
  one before, so there are a few tries.
  """
  @spec encode(map(), pos_integer()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(reply, max) do
    with {:ok, text} when byte_size(text) > max <- Json.encode(reply),
         do: cut(reply, 1.0, byte_size(text), max)
  end

  # `share` is the part of each list that is kept.
  defp cut(reply, share, size, max) when share > 0.0 do
    share = if share * max < size * 0.001, do: 0.0, else: share * max / size * @margin
    short = shorten(reply, share)

    with {:ok, text} when byte_size(text) > max <- Json.encode(short),
         do: cut(reply, share, byte_size(text), max)
  end

  defp cut(_reply, _nothing, size, max) do
    {:error, Error.new(:limit, "the answer has #{size} bytes, and a message at most #{max}")}
  end

  # Replies of 1.x.
  defp shorten(%{response: list} = reply, share) when is_list(list) do
    short = take(list, share)

    said =
      "shortened to the size of a message: #{length(short)} of #{length(list)} entries are listed"

    Map.merge(reply, %{response: short, message: said, shortened: true})
  end

  defp shorten(%{response: %{} = response} = reply, share) do
    said = "shortened to the size of a message: compare the lists with their counts"
    Map.merge(reply, %{response: shorten(response, share), message: said})
  end

  defp shorten(reply, share) do
    lists =
      for {name, list} <- Map.take(reply, Map.keys(@counts)), is_list(list), do: {name, list}

    counts = Map.new(lists, fn {name, list} -> {@counts[name], length(list)} end)
    short = Map.new(lists, fn {name, list} -> {name, take(list, share)} end)
    reply |> Map.merge(counts) |> Map.merge(short) |> Map.put(:shortened, true)
  end

  defp take(list, share), do: Enum.take(list, floor(length(list) * share))
end
