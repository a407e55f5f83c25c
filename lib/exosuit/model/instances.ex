defmodule Exosuit.Model.Instances do
  @moduledoc """
  The number of calls of an actor that may run at a time, per set of annotations.

  All calls use the same module, and a single number bounds them. Tools that manage hosts request instances with
  different annotations, and later remove their own. Therefore the number is a sum of shares, each with its
  annotations. Shares keep their order: the first is the oldest.

  The sum and the number of shares are bounded here. A change beyond either bound is refused, and changes
  nothing.

  No process stands behind an instance of a share. The number is a bound of the engine, and an instance exists while a
  call runs. Its id (`id/4`) is computed for tools that expect one.

  Two kinds of tools change the number. Those of the OTP era add and remove instances; those of wasmCloud 1.x set the
  number of each set of annotations. `t:change/0` has a form for each.
  """

  @typedoc "The annotations of a share, by which a tool finds its own instances again."

  alias Exosuit.{Error, Input}
  @type annotations :: %{optional(String.t()) => String.t()}
  @typedoc "The instances for each set of annotations, the oldest share first. No two shares have the same annotations."
  @type shares :: [{annotations(), pos_integer()}]

  @typedoc """
  - `{:total, n}`: the sum of all shares; the youngest shares lose instances first
  - `{:set, annotations, n}`: the share with exactly these annotations; others stay
  - `{:add, annotations, n}`: adds instances to the share with these annotations
  - `{:remove, filter, n}`: removes this number, or `:all`, of the instances whose annotations contain the filter, the
    youngest first
  """
  @type change ::
          {:total, non_neg_integer()}
          | {:set, annotations(), non_neg_integer()}
          | {:add, annotations(), pos_integer()}
          | {:remove, annotations(), pos_integer() | :all}

  # Orchestrators have one set for each of their scalers.
  @max_shares 1_000

  @doc """
  The shares after a change; empty if no instance is left. A change that would need more instances than
  `Exosuit.Input` allows, or more than 1 000 shares, is refused with `:limit`.

      iex> alias Exosuit.Model.Instances
      iex> shares = Instances.change([{%{}, 2}], {:add, %{"scaler" => "eu"}, 3})
      [{%{}, 2}, {%{"scaler" => "eu"}, 3}]
      iex> Instances.change(shares, {:remove, %{"scaler" => "eu"}, 1})
      [{%{}, 2}, {%{"scaler" => "eu"}, 2}]
      iex> Instances.change(shares, {:total, 1})
      [{%{}, 1}]
  """
  @spec change(shares(), change()) :: shares() | {:error, Error.t()}
  def change(shares, change) do
    changed = changed(shares, change)
    total = total(changed)

    cond do
      not Input.within?(:count, total) ->
        refuse("expected #{Input.expectation(:instances)} in all, got #{total}")

      length(changed) > @max_shares ->
        refuse("expected at most #{@max_shares} sets of annotations, got #{length(changed)}")

      true ->
        changed
    end
  end

  defp refuse(detail), do: {:error, Error.new(:limit, detail)}

  defp changed(shares, {:set, annotations, count}) do
    if List.keymember?(shares, annotations, 0) do
      shares |> List.keyreplace(annotations, 0, {annotations, count}) |> without_empty()
    else
      without_empty(shares ++ [{annotations, count}])
    end
  end

  defp changed(shares, {:add, annotations, count}) do
    {_annotations, before} = List.keyfind(shares, annotations, 0, {annotations, 0})
    changed(shares, {:set, annotations, before + count})
  end

  defp changed(shares, {:remove, filter, count}), do: take(shares, &contains?(&1, filter), count)

  defp changed(shares, {:total, count}) do
    case {count - total(shares), shares} do
      {missing, [{annotations, _count} | _]} when missing > 0 ->
        changed(shares, {:add, annotations, missing})

      {surplus, shares} ->
        take(shares, fn _annotations -> true end, -surplus)
    end
  end

  @doc "The total number of instances."
  @spec total(shares()) :: non_neg_integer()
  def total(shares), do: shares |> Enum.map(&elem(&1, 1)) |> Enum.sum()

  @doc """
  Whether all of `filter` is among the annotations. An empty filter is contained in all annotations.

      iex> Exosuit.Model.Instances.contains?(%{"scaler" => "eu", "by" => "ci"}, %{"scaler" => "eu"})
      true
      iex> Exosuit.Model.Instances.contains?(%{}, %{"scaler" => "eu"})
      false
  """
  @spec contains?(annotations(), annotations()) :: boolean()
  def contains?(annotations, filter) do
    Enum.all?(filter, fn {key, value} -> annotations[key] == value end)
  end

  @doc """
  The id of the n-th instance of a share, counted from 1. It is made from the arguments, so every caller gets the same
  id. It is a UUID of version 8 in form, because tools of wasmCloud parse it.

      iex> alias Exosuit.Model.Instances
      iex> id = Instances.id("N1", "echo", %{}, 1)
      iex> {id == Instances.id("N1", "echo", %{}, 1), id == Instances.id("N1", "echo", %{}, 2), String.length(id)}
      {true, false, 36}
  """
  @spec id(String.t(), String.t(), annotations(), pos_integer()) :: String.t()
  def id(host_id, actor_id, annotations, n) do
    facts = [host_id, actor_id, Enum.sort(annotations), n]

    <<a::48, _::4, b::12, _::2, c::62, _::binary>> =
      :crypto.hash(:sha256, :erlang.term_to_binary(facts))

    # Version 8 of RFC 9562, whose bits the application chooses.
    hex = Base.encode16(<<a::48, 8::4, b::12, 2::2, c::62>>, case: :lower)
    <<p1::8-bytes, p2::4-bytes, p3::4-bytes, p4::4-bytes, p5::12-bytes>> = hex
    Enum.join([p1, p2, p3, p4, p5], "-")
  end

  defp take(shares, matches?, count) do
    {left, _count} =
      shares
      |> Enum.reverse()
      |> Enum.map_reduce(count, fn {annotations, there}, count ->
        taken = if matches?.(annotations), do: at_most(there, count), else: 0
        {{annotations, there - taken}, rest(count, taken)}
      end)

    left |> Enum.reverse() |> without_empty()
  end

  defp at_most(there, :all), do: there
  defp at_most(there, count), do: min(there, count)

  defp rest(:all, _taken), do: :all
  defp rest(count, taken), do: count - taken

  defp without_empty(shares), do: Enum.reject(shares, fn {_annotations, count} -> count == 0 end)
end
