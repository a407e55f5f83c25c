defmodule Exosuit.ArchitectureTest do
  use ExUnit.Case, async: true

  alias Exosuit.RustModules

  # The floors, from the ground up. A room may call the floors below its own, and itself. After a change, write
  # the tables of ARCHITECTURE.md anew: `EXOSUIT_WRITE_GUIDES=1 mix test test/architecture_test.exs`.
  @floors [
    ~w(Error Retry),
    ~w(Native),
    ~w(Input Resource Secret),
    ~w(Model Options Origin Wit),
    ~w(Config Instance MessagePack Distribution Event Registries Server),
    ~w(Environment),
    ~w(Claims Json),
    ~w(Protocol),
    ~w(Wasm World Router Lattice Artifact Manifest Directory Settings),
    ~w(Actor Provider),
    ~w(Host),
    ~w(App Edge),
    ~w(Control),
    ~w(Drain Startup),
    ~w(Tree),
    ~w(Exosuit),
    ~w(Component IEx Up Case),
    ~w(Application)
  ]

  # A call to a module in a variable counts as a call to the behaviour of which it is a callback: by room, the
  # behaviours whose modules it is given.
  @behaviours %{
    "Control" => [Exosuit.Protocol],
    "Drain" => [Exosuit.Lattice],
    "Edge" => [Exosuit.Lattice],
    "Host" => [Exosuit.Provider],
    "Lattice" => [Exosuit.Lattice, Exosuit.Lattice.Backend],
    "Provider" => [Exosuit.Provider],
    "Startup" => [Exosuit.Lattice]
  }

  @root Path.expand("..", __DIR__)

  # What only the tests have.
  @guests ~w(Extremes Guests HostCase Http Nats Program RustModules Simulated Soak WitWorld)

  test "calls go down" do
    floors = floors()
    calls = calls()

    assert [] == for({a, b} <- calls, room <- [a, b], not is_map_key(floors, room), do: room)
    assert [] == for({from, to} <- calls, floors[from] <= floors[to], do: {from, to})
  end

  # A module that is only named (handed to a process, or matched as a struct) is called by nobody xref sees.
  test "modules are named by rooms above them alone" do
    floors = floors()

    assert [] ==
             for(
               {module, beam} <- beams(),
               named <- atoms(beam),
               {from, to} = {room(module), room(named)},
               from != to and is_map_key(floors, to) and floors[from] <= floors[to],
               do: {module, named}
             )
  end

  test "a module in a variable is called by callbacks of a declared behaviour" do
    assert [] ==
             for(
               {module, beam} <- beams(),
               {function, line} <- variable_calls(beam),
               function not in callbacks(room(module)),
               do: {module, line, function}
             )
  end

  test "the behaviours are no higher than the rooms that call them" do
    floors = floors()

    assert [] ==
             for(
               {room, behaviours} <- @behaviours,
               behaviour <- behaviours,
               to = room(behaviour),
               room != to and floors[room] <= floors[to],
               do: {room, behaviour}
             )
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

  # The floors of the Rust side are the crates, which cargo keeps free of circles; within one, this does.
  test "no modules of a crate use each other" do
    for directory <- Path.wildcard(Path.join(@root, "native/*/")),
        circle <- directory |> RustModules.read!() |> RustModules.circles() do
      crate = Path.basename(directory)

      flunk(
        "#{crate}: #{Enum.join(circle, ", ")} use each other: move what they share below them"
      )
    end
  end

  test "a circle of Rust modules is found through imports, paths and what is handed on, and not in tests" do
    circles = fn a, b ->
      RustModules.circles(%{[] => "mod a;\nmod b;\npub use a::A;", ["a"] => a, ["b"] => b})
    end

    as = [
      "use crate::b::B;",
      "use super::b::{self};\nfn f() { b::f() }",
      "fn f() -> crate::b::B {}"
    ]

    bs = ["use crate::A;", "use crate::{c::{C, D}, a::A as X};", "use super::a::A;"]
    other = "// crate::A\nuse a::A;\n#[cfg(test)]\nmod tests {\n    use crate::A;\n}"

    for a <- as, b <- bs do
      assert circles.(a, b) == [["a", "b"]], "#{a} #{b}"
      assert circles.(a, other) == []
    end

    parent = %{["a"] => "mod b;\npub(crate) use b::B;", ["a", "b"] => "use super::A;"}
    assert RustModules.circles(parent) == []
    assert RustModules.circles(%{parent | ["a"] => "mod b;\nuse b::B;"}) == [["a", "a::b"]]
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

  defp floors do
    for {rooms, floor} <- Enum.with_index(@floors), room <- rooms, into: %{}, do: {room, floor}
  end

  # The modules of the rooms, with their files.
  defp beams do
    for beam <- Path.wildcard(Application.app_dir(:exosuit, "ebin/*.beam")),
        module = beam |> Path.basename(".beam") |> String.to_existing_atom(),
        room(module) not in [nil | @guests],
        do: {module, String.to_charlist(beam)}
  end

  defp atoms(beam) do
    {:ok, {_module, [atoms: atoms]}} = :beam_lib.chunks(beam, [:atoms])
    for {_index, atom} <- atoms, do: atom
  end

  defp callbacks(room) do
    Enum.flat_map(Map.get(@behaviours, room, []), fn
      Exosuit -> Exosuit.__info__(:functions)
      behaviour -> behaviour.behaviour_info(:callbacks)
    end)
  end

  # `module.function(…)`, `&module.function/1` and `apply(module, …)`, with their lines. A field that is read
  # (`state.name`) is compiled to such a call, too, which is marked as generated.
  defp variable_calls(beam) do
    {:ok, {_module, [abstract_code: {:raw_abstract_v1, forms}]}} =
      :beam_lib.chunks(beam, [:abstract_code])

    forms |> calls_of([]) |> Enum.uniq()
  end

  defp calls_of({:call, place, {:remote, _, module, function}, arguments} = form, found) do
    found = form |> Tuple.to_list() |> calls_of(found)

    cond do
      :erl_anno.generated(place) -> found
      not match?({:atom, _, _}, module) -> [call(function, length(arguments), place) | found]
      applied?(module, function, arguments) -> [call({:atom, place, :apply}, 3, place) | found]
      true -> found
    end
  end

  defp calls_of({:fun, place, {:function, module, function, arity}} = form, found) do
    found = form |> Tuple.to_list() |> calls_of(found)
    captured = call(function, arity(arity), place)
    if match?({:atom, _, _}, module), do: found, else: [captured | found]
  end

  defp calls_of(form, found) when is_tuple(form), do: form |> Tuple.to_list() |> calls_of(found)
  defp calls_of([form | forms], found), do: calls_of(forms, calls_of(form, found))
  defp calls_of(_form, found), do: found

  defp applied?({:atom, _, :erlang}, {:atom, _, :apply}, [{kind, _, _} | _rest] = arguments),
    do: length(arguments) == 3 and kind != :atom

  defp applied?(_module, _function, _arguments), do: false

  defp call({:atom, _, name}, arity, place), do: {{name, arity}, :erl_anno.line(place)}
  defp call(_variable, arity, place), do: {{:_, arity}, :erl_anno.line(place)}

  # `nil` stands for an arity in a variable.
  defp arity({:integer, _, arity}), do: arity
  defp arity(_variable), do: nil

  # Modules of Erlang and Elixir, and implementations of their protocols, are no rooms.
  defp room(module) do
    case String.split(inspect(module), ".") do
      ["Exosuit"] -> "Exosuit"
      ["Exosuit", room | _] -> room
      _other -> nil
    end
  end
end
