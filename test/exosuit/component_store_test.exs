defmodule Exosuit.ComponentStoreTest do
  # What a component keeps and logs: `web` over HTTP, whose paths say what it does with the host's
  # `wasi:keyvalue` and `wasi:logging`.
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  defmodule Mirror do
    @moduledoc "A store in Elixir that has every key, with itself as its value, but for one."
    use Exosuit.Provider, contract: "wasi:keyvalue"

    @impl Exosuit.Provider
    def handle_function("wasi:keyvalue/store@0.2.0-draft#get", arguments, _context) do
      case arguments do
        [_bucket, "nothing"] -> {:ok, nil}
        [_bucket, "broken"] -> {:error, "the mirror is broken"}
        [bucket, key] -> {:ok, "#{key} in #{bucket}"}
      end
    end
  end

  for backend <- ["memory", "file"] do
    describe "a store in #{backend}" do
      setup do
        host = start_supervised_host!(data_dir: tmp_dir!(), actors: [caller: "caller"])
        config = %{"backend" => unquote(backend)}
        {:ok, "kv"} = Exosuit.start_provider(host, "keyvalue", id: "kv", config: config)
        :ok = link(host, "caller", "wasmcloud:keyvalue")
        port = serve!(host, start_actor!(host, "web", "components/web"))
        :ok = link(host, "web", "wasi:keyvalue")
        %{host: host, port: port}
      end

      test "has for components what it has for actors of the wasmbus", %{host: host, port: port} do
        assert {404, _none} = get(port, "/kv/get?key=a")
        assert {200, "done"} = get(port, "/kv/set?key=a&value=from-a-component")
        assert %{"value" => "from-a-component", "exists" => true} = keyvalue(host, "Get", "a")

        keyvalue(host, "Set", %{"key" => "a", "value" => "from an actor"})
        assert {200, "from an actor"} = get(port, "/kv/get?key=a")
        assert {200, "true"} = get(port, "/kv/exists?key=a")
        assert {200, "done"} = get(port, "/kv/delete?key=a")
        assert keyvalue(host, "Contains", "a") == false

        assert {200, "2"} = get(port, "/kv/increment?key=n&delta=2")
        assert keyvalue(host, "Increment", %{"key" => "n", "value" => 3}) == 5

        assert {200, "18446744073709551615"} =
                 get(port, "/kv/increment?key=n&delta=18446744073709551610")

        assert {502, error} = get(port, "/kv/increment?key=n&delta=1")
        assert error =~ "the sum is outside the bounds"
      end

      test "takes many keys at once, and gives them in pages", %{port: port} do
        keys = for n <- 1000..2499, do: "k#{n}"

        for some <- Enum.chunk_every(keys, 500) do
          query = Enum.map_join(some, "&", &"key=#{&1}&value=#{&1}")
          assert {200, "done"} = get(port, "/kv/set-many?#{query}")
        end

        assert {200, "k1000=k1000\n-\nk2499=k2499"} =
                 get(port, "/kv/get-many?key=k1000&key=none&key=k2499")

        {200, page} = get(port, "/kv/list")
        {first, ["cursor: " <> cursor]} = page |> String.split("\n") |> Enum.split(1_000)
        assert {200, "done"} = get(port, "/kv/delete-many?key=#{List.last(first)}&key=k1000")
        {200, rest} = get(port, "/kv/list?cursor=#{cursor}")
        assert first ++ String.split(rest, "\n") == keys
      end

      test "is open to a link, which says which bucket", %{host: host, port: port} do
        assert {200, "done"} = get(port, "/kv/set?key=a&value=1&bucket=inner")
        assert {404, _none} = get(port, "/kv/get?key=a")
        assert {502, error} = get(port, "/kv/get?key=a&bucket=a/b")
        assert error =~ "the bucket's name"

        :ok = link(host, "web", "wasi:keyvalue", %{"bucket" => "inner"})
        assert {404, _none} = get(port, "/kv/get?key=a")
        :ok = Exosuit.delete_link(host, source: "web", contract: "wasi:keyvalue")
        assert {502, "Error::AccessDenied" <> _} = get(port, "/kv/get?key=a")
      end
    end
  end

  test "a store may be one in Elixir" do
    host = start_supervised_host!(actors: [web: "components/web"])
    {:ok, "kv"} = Exosuit.start_provider(host, Mirror, id: "kv")
    :ok = link(host, "web", "wasi:keyvalue")
    port = serve!(host, "web")

    assert {200, "a in b"} = get(port, "/kv/get?key=a&bucket=b")
    assert {404, _none} = get(port, "/kv/get?key=nothing")
    assert {502, error} = get(port, "/kv/get?key=broken")
    assert error =~ "the mirror is broken"
    assert {502, error} = get(port, "/kv/exists?key=a")
    assert error =~ "Mirror raised FunctionClauseError"
  end

  test "a component logs through its claim alone, with its context" do
    host = start_supervised_host!()
    dir = tmp_dir!()
    %{router: router} = Exosuit.Directory.fetch!(host, :instance)
    :ok = Exosuit.Router.observe(router, self())
    log = fn port, path -> assert {200, _done} = get(port, path) end

    # The same component, signed anew: it keeps its links.
    keys = [issuer: Guests.key("account"), subject: Guests.key("module")]
    port = serve!(host, sign!(host, dir, ["wasi:http", "wasi:logging"], keys))
    log.(port, "/log?text=first&level=critical&context=here")
    assert_receive {:exosuit_notice, {:log, "web", :error, "[here] first"}}
    log.(port, "/log-unversioned?text=second")
    assert_receive {:exosuit_notice, {:log, "web", :info, "[web] second"}}

    :ok = Exosuit.stop_actor(host, "web")
    sign!(host, dir, ["wasi:http"], keys)
    log.(port, "/log?text=third")
    assert_receive {:exosuit_notice, {"invocation_failed", %{reason: :missing_claim} = data}}
    assert %{source: "web", target: "wasi:logging" <> _} = data
    refute_received {:exosuit_notice, {:log, _actor, _level, _text}}
  end

  defp sign!(host, dir, caps, keys) do
    {path, _keys} = Guests.sign(dir, "components/web", [caps: caps] ++ keys)
    {:ok, id} = Exosuit.start_actor(host, path, id: "web")
    id
  end

  defp serve!(host, actor) do
    {:ok, "http"} = Exosuit.start_provider(host, "http-server", id: "http")
    port = free_port()
    config = %{"address" => "127.0.0.1:#{port}"}
    link = [source: "http", target: actor, contract: "wasi:http", source_config: config]
    :ok = Exosuit.put_link(host, link)
    port
  end

  defp link(host, actor, contract, values \\ %{}) do
    link = [source: actor, target: "kv", contract: contract, target_config: values]
    Exosuit.put_link(host, link)
  end

  defp get(port, path), do: Http.request(port, "GET", path)
end
