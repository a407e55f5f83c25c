defmodule Exosuit.Host.WritersTest do
  use ExUnit.Case, async: true

  alias Exosuit.Host.Writers

  doctest Writers

  @a {"a", "c:d", "default"}
  @b {"b", "c:d", "default"}

  test "what is not being written is settled at once" do
    assert Writers.defer(%Writers{}, [@a]) == {[@a], %Writers{}}
    writers = Writers.add(%Writers{}, make_ref(), [@b])
    assert {[@a], ^writers} = Writers.defer(writers, [@a])
  end

  test "a key waits for all that write it, and is due once" do
    [one, two] = [make_ref(), make_ref()]
    writers = %Writers{} |> Writers.add(one, [@a, @b]) |> Writers.add(two, [@a])
    assert {[], writers} = Writers.defer(writers, [@a])
    assert {[], writers} = Writers.defer(writers, [@a])
    assert {[], writers} = Writers.remove(writers, one)
    assert {[@a], writers} = Writers.remove(writers, two)
    assert writers == %Writers{}
  end

  test "a writer that is not known makes nothing due" do
    assert Writers.remove(%Writers{}, make_ref()) == {[], %Writers{}}
  end
end
