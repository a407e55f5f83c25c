defmodule Exosuit.ToolchainsTest do
  # Components as the toolchains of other languages build them: `bin/test-more toolchains` builds these,
  # and says in EXOSUIT_TOOLCHAINS where they are.
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  @moduletag :toolchains
  # The first compilation of thirteen megabytes of an interpreter takes its time.
  @moduletag timeout: 600_000

  for language <- ~w(python javascript) do
    test "a component in #{language} answers each request with a fresh instance" do
      language = unquote(language)
      port = serve!(language)

      for n <- 1..20 do
        assert {200, "#{language} 1 /path/#{n}\n"} == Http.request(port, "GET", "/path/#{n}")
      end

      answers =
        1..40
        |> Task.async_stream(&Http.request(port, "GET", "/#{&1}"),
          max_concurrency: 8,
          timeout: 60_000
        )
        |> Enum.map(fn {:ok, answer} -> answer end)

      assert answers == for(n <- 1..40, do: {200, "#{language} 1 /#{n}\n"})
    end
  end

  # A signed component, on a host that takes no other, behind a port.
  defp serve!(language) do
    host = start_supervised_host!(unsigned: :deny)
    wasm = Path.join(System.fetch_env!("EXOSUIT_TOOLCHAINS"), language <> ".wasm")
    {signed, _keys} = Guests.sign(tmp_dir!(), language, wasm: wasm, caps: ["wasi:http"])
    {:ok, actor} = Exosuit.start_actor(host, signed, id: language, instances: 8)
    {:ok, server} = Exosuit.start_provider(host, "http-server", id: "server")
    port = free_port()

    :ok =
      Exosuit.put_link(host,
        source: server,
        target: actor,
        contract: "wasi:http",
        interfaces: ["incoming-handler"],
        source_config: %{"address" => "127.0.0.1:#{port}"}
      )

    port
  end
end
