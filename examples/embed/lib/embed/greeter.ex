defmodule Embed.Greeter do
  @moduledoc """
  The capability `embed:greeter`: greets by name, in the words of the link.

  It stands for what an app has and its guests need: a query, a price, a message to a process.
  """
  use Exosuit.Provider, contract: "embed:greeter"

  @impl Exosuit.Provider
  def put_link(%{values: %{"greeting" => ""}}, _state),
    do: {:error, "expected a greeting, got none"}

  def put_link(_link, state), do: {:ok, state}

  @impl Exosuit.Provider
  def handle_invocation("Greeter.Greet", "", _context), do: {:error, "expected a name, got none"}

  def handle_invocation("Greeter.Greet", name, context) do
    {:ok, [Map.get(context.link.values, "greeting", "Hello"), ", ", name, "!"]}
  end

  def handle_invocation(_operation, _payload, _context), do: {:error, :unknown_operation}
end
