defmodule Exosuit.Protocol.ShortTest do
  use ExUnit.Case, async: true

  alias Exosuit.Protocol.Short
  alias Exosuit.{Error, Json}

  @items for n <- 1..4_000, do: %{id: "actor-#{n}", image_ref: String.duplicate("x", 100)}

  test "a reply that fits is as it was" do
    assert {:ok, text} = Short.encode(%{actors: [], providers: [], host_id: "N"}, 1_000)
    assert Json.decode(text) == {:ok, %{"actors" => [], "providers" => [], "host_id" => "N"}}
  end

  test "an inventory of each generation is cut to what fits, and says so" do
    otp = %{host_id: "N", actors: @items, providers: Enum.take(@items, 10)}
    v1 = %{success: true, message: "", response: %{components: @items, providers: []}}

    for max <- [2_000, 65_536, 400_000] do
      assert %{"host_id" => "N", "actors" => actors, "providers" => providers} =
               short = encode(otp, max)

      assert %{"shortened" => true, "actors_count" => 4_000, "providers_count" => 10} = short
      assert length(actors) > 0 and length(providers) <= 10

      assert %{"success" => true, "message" => "shortened" <> _, "response" => response} =
               encode(v1, max)

      assert %{"shortened" => true, "components_count" => 4_000, "components" => [_ | _]} =
               response
    end
  end

  test "lists of links and claims are cut as well" do
    assert %{"links" => [_ | _], "links_count" => 4_000} = encode(%{links: @items}, 65_536)

    assert %{"response" => [_ | _] = listed, "message" => message} =
             encode(%{success: true, message: "", response: @items}, 65_536)

    assert message =~ "#{length(listed)} of 4000"
  end

  test "one that is larger without its lists is an error" do
    reply = %{actors: @items, host_id: String.duplicate("N", 3_000)}
    assert {:error, %Error{reason: :limit} = error} = Short.encode(reply, 2_000)
    assert Exception.message(error) =~ "2000"
    assert {:error, %Error{}} = Short.encode(%{message: String.duplicate("x", 3_000)}, 2_000)
  end

  defp encode(reply, max) do
    assert {:ok, text} = Short.encode(reply, max)
    assert byte_size(text) <= max
    {:ok, decoded} = Json.decode(text)
    decoded
  end
end
