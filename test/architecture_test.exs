defmodule Exosuit.ArchitectureTest do
  use ExUnit.Case, async: true

  # The floors, from the ground up. A room may call the floors below its own, and itself. After a change, write
  # the tables of ARCHITECTURE.md anew: `EXOSUIT_WRITE_GUIDES=1 mix test test/architecture_test.exs`.
  @floors [
    ~w(Error Retry),
    ~w(Native),
    ~w(Input),
    ~w(Model Options Origin Wit),
    ~w(Config Instance MessagePack Distribution Event Registries Server),
    ~w(Environment),
    ~w(Json Secret),
    ~w(Protocol),
    ~w(Wasm Router Lattice Artifact Claims Manifest Directory Settings),
    ~w(Actor Provider),
    ~w(Host),
    ~w(App),
    ~w(Control),
    ~w(Drain Edge Startup),
    ~w(Exosuit),
    ~w(IEx Up Case),
    ~w(Application)
  ]

  @root Path.expand("..", __DIR__)

  # What only the tests have.
  @guests ~w(Extremes Guests HostCase Http Nats Program Simulated Soak)

  test "calls go down" do
    floors = for {rooms, n} <- Enum.with_index(@floors), room <- rooms, into: %{}, do: {room, n}
    calls = calls()

    assert [] == for({a, b} <- calls, room <- [a, b], not is_map_key(floors, room), do: room)
    assert [] == for({from, to} <- calls, floors[from] <= floors[to], do: {from, to})
  end

  test "ARCHITECTURE.md shows these floors, and says what each room holds" do
    rows =
      for {rooms, floor} <- Enum.reverse(Enum.with_index(@floors)),
          room <- rooms,
          do: {room, ["#{floor}", "`#{room}`"]}

    check_table("floors", "| floor | room | holds |\n|---|---|---|\n", rows)
  end

  test "ARCHITECTURE.md shows the crates, which crates each uses, and says what each holds" do
    crates =
      for path <- Path.wildcard(Path.join(@root, "native/*/Cargo.toml")),
          do: {path |> Path.dirname() |> Path.basename(), uses(File.read!(path))}

    rows =
      for {crate, uses} <- Enum.sort_by(crates, fn {crate, uses} -> {length(uses), crate} end),
          do: {crate, ["`#{crate}`", if(uses == [], do: "–", else: Enum.join(uses, ", "))]}

    check_table("crates", "| crate | uses | holds |\n|---|---|---|\n", rows)
  end

  # The crates of Exosuit that a crate depends on, except for its tests.
  defp uses(cargo_toml) do
    [_before, section] = String.split(cargo_toml, "\n[dependencies]\n", parts: 2)
    [dependencies | _other_sections] = String.split(section, "\n[", parts: 2)
    for [_all, crate] <- Regex.scan(~r/^exosuit_(\w+)\.workspace/m, dependencies), do: crate
  end

  # The last column is written by hand in the document; all others come from `rows`.
  defp check_table(name, head, rows) do
    path = Path.join(@root, "ARCHITECTURE.md")
    marker = ~r/(?<=<!-- #{name} -->\n).*?(?=<!-- end -->)/s
    text = File.read!(path)
    [shown] = Regex.run(marker, text)
    holds = holds(shown)

    table =
      for {key, cells} <- rows,
          into: head,
          do: "| " <> Enum.join(cells ++ [holds[key] || "(to be written)"], " | ") <> " |\n"

    if System.get_env("EXOSUIT_WRITE_GUIDES") do
      File.write!(path, Regex.replace(marker, text, fn _shown -> table end))
    else
      assert shown == table, "ARCHITECTURE.md: run this test with EXOSUIT_WRITE_GUIDES=1"
    end

    assert [] == for({key, _cells} <- rows, holds[key] in [nil, "(to be written)"], do: key),
           "ARCHITECTURE.md: say what these hold"
  end

  # By the first name in backticks of a row: its last column.
  defp holds(table) do
    for row <- String.split(table, "\n", trim: true),
        [_all, key] <- [Regex.run(~r/^[^`]*`(\w+)`/, row)],
        into: %{},
        do: {key, row |> String.split("|", trim: true) |> List.last() |> String.trim()}
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
