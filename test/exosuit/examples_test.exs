defmodule Exosuit.ExamplesTest do
  # The examples as they stand in examples/, signed by keys that are trusted nowhere else.
  use Exosuit.HostCase, async: true

  alias Exosuit.Http

  @examples Path.expand("../../examples", __DIR__)

  test "ping answers HTTP with what pong says, which it calls by its alias" do
    {host, port} = apply!("pingpong")
    :ok = Exosuit.subscribe(host)
    assert {200, body} = Http.request(port, "GET", "/")
    assert body =~ "pong"

    :ok = Exosuit.stop_actor(host, "pingpong-pong")
    assert {502, _body} = Http.request(port, "GET", "/")

    assert_receive {:exosuit_event,
                    %{type: "invocation_failed", data: %{source: "pingpong-ping"}}}
  end

  for wasm <- Path.wildcard("#{@examples}/*/*_s.wasm") do
    @wasm wasm

    test "#{Path.basename(wasm)} is small, and its token holds" do
      assert File.stat!(@wasm).size < 300_000
      {json, 0} = System.cmd(Guests.command(), ["claims", "inspect", @wasm, "--json"])
      assert {:ok, %{"verified" => true}} = Exosuit.Json.decode(json)
    end
  end

  for text <- Path.wildcard("#{@examples}/*/test/guests/*.wat") do
    @text text

    test "#{Path.basename(text)} is what its .wasm was made of" do
      dir = tmp_dir!()
      Guests.assemble(dir, %{"guest" => File.read!(@text)})

      assert File.read!(Path.join(dir, "guest.wasm")) ==
               File.read!(Path.rootname(@text) <> ".wasm")
    end
  end

  # A copy of the example on a port that is free.
  defp apply!(name) do
    dir = tmp_dir!()
    port = free_port()
    File.cp_r!(Path.join(@examples, name), dir)
    manifest = Path.join(dir, "app.yaml")
    text = manifest |> File.read!() |> String.replace(~r/127\.0\.0\.1:\d+/, "127.0.0.1:#{port}")
    File.write!(manifest, text)

    host = start_supervised_host!(unsigned: :deny)
    {:ok, outcomes, []} = Exosuit.apply_manifest(host, manifest)
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1))
    {host, port}
  end
end
