defmodule Exosuit.CaseTest do
  # The case of embedding apps, used as they do.
  use Exosuit.Case, async: true

  alias Exosuit.{Error, Guests}

  test "a host runs with the actors that the test names" do
    host = start_host!(actors: [echo: Guests.path("echo")])
    assert {:ok, "hello"} = Exosuit.call(host, "echo", "Echo.Say", "hello")
  end

  test "hosts of one test are not each other's" do
    [one, two] = [start_host!(actors: [echo: Guests.path("echo")]), start_host!(queue: 1)]
    assert one != two
    assert {:error, %Error{reason: :unknown_target}} = Exosuit.call(two, "echo", "op", "")
  end

  test "what becomes true is waited for" do
    table = :ets.new(:looks, [:public])
    look = fn -> :ets.update_counter(table, :looks, 1, {:looks, 0}) end
    assert 3 = eventually(fn -> if look.() == 3, do: 3 end)
  end
end
