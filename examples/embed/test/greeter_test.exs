defmodule Embed.GreeterTest do
  use Exosuit.Case, async: true

  @visitor Path.expand("../priv/visitor_s.wasm", __DIR__)

  # A host of the test's own; the app's is another.
  setup do
    host = start_host!(actors: [visitor: @visitor])
    {:ok, "greeter"} = Exosuit.start_provider(host, Embed.Greeter)
    %{host: host}
  end

  test "a visitor is greeted in the words of its link", %{host: host} do
    :ok = link(host, %{})
    assert {:ok, "Hello, Ada!"} = visit(host, "Ada")

    :ok = link(host, %{"greeting" => "Good evening"})
    assert {:ok, "Good evening, Ada!"} = visit(host, "Ada")
  end

  test "without a link there is no greeting", %{host: host} do
    assert {:error, %Exosuit.Error{reason: :guest} = error} = visit(host, "Ada")
    assert Exception.message(error) =~ "missing link definition"
  end

  test "the capability says what is wrong with a call, and with a link", %{host: host} do
    :ok = link(host, %{})
    assert {:error, %Exosuit.Error{detail: "expected a name, got none"}} = visit(host, "")

    assert {:error, %Exosuit.Error{reason: :provider}} = link(host, %{"greeting" => ""})
    assert {:ok, "Hello, Ada!"} = visit(host, "Ada")
  end

  defp link(host, values) do
    Exosuit.put_link(host,
      source: "visitor",
      target: "greeter",
      contract: "embed:greeter",
      target_config: values
    )
  end

  defp visit(host, name), do: Exosuit.call(host, "visitor", "Visitor.Visit", name)
end
