defmodule Exosuit.ArchitectureTest do
  use ExUnit.Case, async: true

  # The floors, from the ground up. A room may call the floors below its own, and itself.
  @floors [
    ~w(Error Retry),
    ~w(Native),
    ~w(Input),
    ~w(Model Options Origin Wit),
    ~w(Config MessagePack Distribution Event Registries Server),
    ~w(Environment),
    ~w(Json Secret),
    ~w(Wasm Router Lattice Artifact Claims Manifest Directory Settings),
    ~w(Actor Provider),
    ~w(Host Deployer),
    ~w(App),
    ~w(Control),
    ~w(Drain Edge Startup),
    ~w(Exosuit),
    ~w(IEx Up Case),
    ~w(Application)
  ]

  # What only the tests have.
  @guests ~w(Extremes Guests HostCase Http Nats Program Soak)

  test "calls go down" do
    floors = for {rooms, n} <- Enum.with_index(@floors), room <- rooms, into: %{}, do: {room, n}
    calls = calls()

    assert [] == for({a, b} <- calls, room <- [a, b], not is_map_key(floors, room), do: room)
    assert [] == for({from, to} <- calls, floors[from] <= floors[to], do: {from, to})
  end

  defp calls do
    {:ok, xref} = :xref.start([])
    ebin = String.to_charlist(Application.app_dir(:exosuit, "ebin"))
    {:ok, _} = :xref.add_directory(xref, ebin, warnings: false)
    {:ok, edges} = :xref.q(xref, ~c"ME ||| AM")

    for {from, to} <- edges,
        {from, to} = {room(from), room(to)},
        from != to and from != nil and to != nil and from not in @guests,
        do: {from, to}
  end

  # Modules of Erlang and Elixir, and implementations of their protocols, are no rooms.
  defp room(module) do
    case String.split(inspect(module), ".") do
      ["Exosuit"] -> "Exosuit"
      ["Exosuit", room | _] -> room
      _other -> nil
    end
  end
end
