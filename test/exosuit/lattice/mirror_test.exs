defmodule Exosuit.Lattice.MirrorTest do
  use ExUnit.Case, async: true

  alias Exosuit.Lattice.Mirror
  alias Exosuit.Model.Link

  doctest Mirror

  @whole %Link{source: "a", target: "kv", namespace: "wasi", package: "keyvalue"}
  @store %{@whole | interfaces: ["store"]}
  @key Link.key(@whole)

  test "of a configuration, the latest revision stays, whoever writes it and in whatever order it arrives" do
    values = &{:configuration, "c", %{"value" => "#{&1}"}}
    {mirror, _keys} = Mirror.write(%Mirror{}, values.(4), 4)
    {mirror, _keys} = Mirror.write(mirror, values.(3), 3)
    assert Mirror.configuration(mirror, "c") == %{"value" => "4"}
    {mirror, _keys} = Mirror.tell(mirror, values.(2), fn _links -> true end, 2)
    assert Mirror.configuration(mirror, "c") == %{"value" => "4"}
    {mirror, _keys} = Mirror.tell(mirror, {:configuration, "c", nil})
    {mirror, _keys} = Mirror.write(mirror, values.(1), 1)
    assert Mirror.configuration(mirror, "c") == %{"value" => "1"}
  end

  test "links come with their records, and go with them" do
    mirror = tell(%Mirror{}, links("COMPONENT_a", 1, [@store]), [@key])
    assert Mirror.wanted(mirror, @key) == {[@store], []}
    assert Mirror.keys(mirror) == [@key]
    assert Mirror.holders(mirror, @key) == ["COMPONENT_a"]

    mirror = tell(mirror, {:deleted, "COMPONENT_a"}, [@key])
    assert Mirror.wanted(mirror, @key) == {[], []}
    assert mirror == %Mirror{}
  end

  test "where two records say something else, the later holds, in whatever order they are told" do
    other = %{@whole | target: "other"}

    told = [
      links("LINKDEF_x", 5, [@whole]),
      links("COMPONENT_a", 7, [%{other | interfaces: ["store"]}])
    ]

    for order <- [told, Enum.reverse(told)] do
      mirror = Enum.reduce(order, %Mirror{}, &tell(&2, &1, [@key]))
      assert {[%{target: "other"}], []} = Mirror.wanted(mirror, @key)
      mirror = tell(mirror, {:deleted, "COMPONENT_a"}, [@key])
      assert {[%{target: "kv"}], []} = Mirror.wanted(mirror, @key)
    end
  end

  test "a link waits for its configurations, and follows them" do
    link = %{@store | target_configs: ["one", "two"]}
    mirror = tell(%Mirror{}, links("COMPONENT_a", 1, [link]), [@key])
    assert {[], [{^link, "one"}]} = Mirror.wanted(mirror, @key)

    mirror = tell(mirror, {:configuration, "one", %{"a" => "1", "b" => "1"}}, [@key])
    assert {[], [{^link, "two"}]} = Mirror.wanted(mirror, @key)

    mirror = tell(mirror, {:configuration, "two", %{"b" => "2"}}, [@key])
    assert {[%{target_config: values}], []} = Mirror.wanted(mirror, @key)
    assert values == %{"a" => "1", "b" => "2"}

    mirror = tell(mirror, {:configuration, "two", %{"b" => "2"}}, [])
    mirror = tell(mirror, {:configuration, "nobody's", %{}}, [])
    mirror = tell(mirror, {:configuration, "one", nil}, [@key])
    assert {[], [{^link, "one"}]} = Mirror.wanted(mirror, @key)
  end

  test "names that were found here for a configuration are not shown" do
    link = %{@store | target_configs: ["exosuit-1"]}
    mirror = tell(%Mirror{}, links("COMPONENT_a", 1, [link]), [@key])
    mirror = tell(mirror, {:configuration, "exosuit-1", %{"a" => "1"}}, [@key])
    assert Mirror.wanted(mirror, @key) == {[%{@store | target_config: %{"a" => "1"}}], []}
  end

  test "what the host wrote itself is known at once, and what is told of before is old" do
    {mirror, [@key]} = Mirror.write(%Mirror{}, links("COMPONENT_a", 7, [@store]), 7)
    mirror = tell(mirror, links("COMPONENT_a", 5, []), [])
    assert {[@store], []} = Mirror.wanted(mirror, @key)
    mirror = tell(mirror, links("COMPONENT_a", 7, [@store]), [])
    mirror = tell(mirror, links("COMPONENT_a", 8, []), [@key])
    assert {[], []} = Mirror.wanted(mirror, @key)

    # Told before it is said to have been written, with what came after.
    assert {^mirror, []} = Mirror.write(mirror, links("COMPONENT_a", 6, [@store]), 6)
    assert {^mirror, []} = Mirror.write(mirror, {:deleted, "COMPONENT_a"}, 8)
    {mirror, _keys} = Mirror.write(mirror, {:deleted, "COMPONENT_a"}, 9)
    mirror = tell(mirror, links("COMPONENT_a", 8, [@store]), [])
    mirror = tell(mirror, {:deleted, "COMPONENT_a"}, [])
    mirror = tell(mirror, links("COMPONENT_a", 10, [@store]), [@key])
    assert {[@store], []} = Mirror.wanted(mirror, @key)
  end

  test "a configuration that the host deleted itself is gone at once" do
    link = %{@store | target_configs: ["db"]}
    mirror = tell(%Mirror{}, links("COMPONENT_a", 1, [link]), [@key])
    mirror = tell(mirror, {:configuration, "db", %{"a" => "1"}}, [@key])
    {mirror, [@key]} = Mirror.write(mirror, {:configuration, "db", nil}, 0)
    assert Mirror.wanted(mirror, @key) == {[], [{link, "db"}]}
  end

  test "in another store revisions begin anew" do
    {mirror, _keys} = Mirror.write(%Mirror{}, links("COMPONENT_a", 700, [@store]), 700)
    mirror = Mirror.begin(mirror)
    assert {[@store], []} = Mirror.wanted(mirror, @key)
    assert Mirror.value(mirror, "COMPONENT_a") == "value 700"
    {mirror, [@key]} = Mirror.write(mirror, links("COMPONENT_a", 2, []), 2)
    assert {[], []} = Mirror.wanted(mirror, @key)
  end

  test "several links of one key in one record stand and go together" do
    atomics = %{@whole | interfaces: ["atomics"], target: "other"}
    mirror = tell(%Mirror{}, links("COMPONENT_a", 1, [@store, atomics]), [@key])
    assert Mirror.wanted(mirror, @key) == {[@store, atomics], []}
    mirror = tell(mirror, links("COMPONENT_a", 2, [atomics]), [@key])
    assert Mirror.wanted(mirror, @key) == {[atomics], []}
  end

  test "of a record with many links, a change tells those alone that it concerns" do
    other = %{@store | name: "other"}
    mirror = tell(%Mirror{}, links("COMPONENT_a", 1, [@store]), [@key])
    mirror = tell(mirror, links("COMPONENT_a", 2, [@store, other]), [Link.key(other)])

    # One that another record has as well: the later of the two holds.
    whole = %{@whole | target: "elsewhere"}
    mirror = tell(mirror, links("LINKDEF_a", 3, [whole]), [@key])
    assert {[^whole], []} = Mirror.wanted(mirror, @key)
    mirror = tell(mirror, links("COMPONENT_a", 4, [@store, other]), [@key])
    assert {[@store], []} = Mirror.wanted(mirror, @key)
  end

  defp links(record, revision, links), do: {:links, record, revision, "value #{revision}", links}

  defp tell(mirror, change, keys) do
    assert {mirror, ^keys} = Mirror.tell(mirror, change)
    mirror
  end
end
