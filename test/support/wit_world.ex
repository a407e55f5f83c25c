defmodule Exosuit.WitWorld do
  @moduledoc """
  Random types of WIT with values of them, and components whose one function returns what it is given.

  A type is an atom (`:u32`, or `:thing` for a resource that is given away), or `{:list, type}`, `{:map, key, type}`,
  `{:tuple, types}`, `{:record, [{name, type}]}`, `{:variant, [{name, type | nil}]}`, `{:enum, names}`,
  `{:flags, names}`, `{:option, type}` or `{:result, type | nil, type | nil}`. Names are those of WIT.

  The components need no code for a type. Their function takes sixteen numbers before the value, so that its arguments
  come in memory, and returns the last of the numbers with the value: that is the end of this memory.
  """

  @integers [:u8, :s8, :u16, :s16, :u32, :s32, :u64, :s64]
  @names ~w(nil true false ok error some none a b c reply-to point-2 kind)

  @doc "A random type, nested so deep at most. `leaves` may be in it as well."
  def type(depth \\ 4, leaves \\ []) do
    case pick([:scalar, :scalar | if(depth > 0, do: compound(), else: [:scalar])]) do
      :scalar ->
        pick(leaves ++ leaves ++ [:bool, :f32, :f64, :char, :string, {:list, :u8} | @integers])

      :list ->
        {:list, type(depth - 1, leaves)}

      :map ->
        {:map, pick([:bool, :char, :string | @integers]), type(depth - 1, leaves)}

      :tuple ->
        {:tuple, many(1..4, fn -> type(depth - 1, leaves) end)}

      :record ->
        {:record, Enum.map(names(1..5), &{&1, type(depth - 1, leaves)})}

      :variant ->
        {:variant, Enum.map(names(1..5), &{&1, payload(depth, leaves)})}

      :enum ->
        {:enum, names(1..6)}

      :flags ->
        {:flags, names(1..6)}

      :option ->
        {:option, type(depth - 1, leaves)}

      :result ->
        {:result, payload(depth, leaves), payload(depth, leaves)}
    end
  end

  defp compound,
    do: [:list, :map, :tuple, :record, :variant, :enum, :flags, :option, :result]

  defp payload(depth, leaves), do: pick([nil, type(depth - 1, leaves)])

  @doc "A random value of a type, in the form in which it comes back."
  def value(type)
  def value(:bool), do: pick([true, false])
  def value(:f32), do: pick([:nan, :infinity, :neg_infinity, -0.125, (rand(2000) - 1000) / 8])
  def value(:f64), do: pick([:nan, :infinity, :neg_infinity, 1.0e300, :rand.normal()])
  def value(:char), do: pick(["a", "ß", "😀", "\0"])
  def value(:string), do: pick(["", "zwölf", String.duplicate("x", rand(300))])
  def value(:thing), do: Exosuit.Resource.new(rand(1_000_000))
  def value({:list, :u8}), do: :rand.bytes(rand(50))
  def value({:list, type}), do: many(0..4, fn -> value(type) end)
  def value({:map, key, type}), do: Map.new(many(0..4, fn -> {value(key), value(type)} end))
  def value({:tuple, types}), do: types |> Enum.map(&value/1) |> List.to_tuple()

  def value({:record, fields}),
    do: Map.new(fields, fn {name, type} -> {atom(name), value(type)} end)

  def value({:enum, names}), do: atom(pick(names))
  def value({:flags, names}), do: for(name <- names, pick([true, false]), do: atom(name))
  def value({:option, type}), do: pick([nil, some(type, value(type))])

  def value({:variant, cases}) do
    {name, type} = pick(cases)
    if type, do: {atom(name), value(type)}, else: atom(name)
  end

  def value({:result, ok, error}) do
    {name, type} = pick([{:ok, ok}, {:error, error}])
    if type, do: {name, value(type)}, else: name
  end

  def value(integer) do
    {low, high} = bounds(integer)
    pick([low, high, 0, low + rand(high - low)])
  end

  defp some(type, value), do: if(may_be_nil?(type), do: {:some, value}, else: value)

  defp may_be_nil?({:option, _type}), do: true
  defp may_be_nil?({:enum, names}), do: "nil" in names
  defp may_be_nil?({:variant, cases}), do: {"nil", nil} in cases
  defp may_be_nil?(_type), do: false

  defp bounds(integer) do
    {sign, bits} = integer |> Atom.to_string() |> String.split_at(1)
    size = Integer.pow(2, String.to_integer(bits))
    if sign == "u", do: {0, size - 1}, else: {div(-size, 2), div(size, 2) - 1}
  end

  @doc "The value with each resource replaced by what `fun` makes of it."
  def map_things(%Exosuit.Resource{} = thing, fun), do: fun.(thing)
  def map_things(values, fun) when is_list(values), do: Enum.map(values, &map_things(&1, fun))

  def map_things(values, fun) when is_tuple(values),
    do: values |> Tuple.to_list() |> map_things(fun) |> List.to_tuple()

  def map_things(%{} = fields, fun),
    do: Map.new(fields, fn {name, value} -> {name, map_things(value, fun)} end)

  def map_things(value, _fun), do: value

  @doc "The value with a new resource for each state `{:thing, number}`."
  def map_states({:thing, number}), do: Exosuit.Resource.new({:thing, number})
  def map_states(values) when is_list(values), do: Enum.map(values, &map_states/1)

  def map_states(values) when is_tuple(values),
    do: values |> Tuple.to_list() |> map_states() |> List.to_tuple()

  def map_states(%Exosuit.Resource{} = resource), do: resource

  def map_states(%{} = fields),
    do: Map.new(fields, fn {key, value} -> {key, map_states(value)} end)

  def map_states(value), do: value

  @doc "The arguments that a component takes with this value."
  def arguments(value), do: List.duplicate(7, 16) ++ [value]

  @doc """
  A component, as text, that exports `echo`, by itself and in `exosuit:test/mirror`. With `:mirror` it answers by itself; with `:relay` it calls `echo` of
  `exosuit:test/mirror`, which it imports. With `:things` it exports `exosuit:test/mirror` alone, with a
  resource `thing`, which is a number, and `make` and `number` for it. With `:things_relay` it imports that interface,
  and exports its functions by themselves.
  """
  def component(type, :mirror) do
    {declared, name} =
      declare(type, &~s|(type $#{&1}_ #{&2}) (export $#{&1} "#{&1}" (type $#{&1}_))|)

    """
    (component
      #{memory()}
      #{declared}
      (core module $code
        (func (export "echo") (param i32) (result i32) (i32.add (local.get 0) (i32.const 120))))
      (core instance $code (instantiate $code))
      #{exported(name)})
    """
  end

  def component(type, :things) do
    {declared, name} = declare(type, &~s|(type $#{&1} #{&2})|)

    """
    (component
      #{memory()}
      (type $thing (resource (rep i32)))
      (core func $new (canon resource.new $thing))
      #{declared}
      (core module $code
        (import "thing" "new" (func $new (param i32) (result i32)))
        (func (export "echo") (param i32) (result i32) (i32.add (local.get 0) (i32.const 120)))
        (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
        (func (export "number") (param i32) (result i32) (local.get 0)))
      (core instance $code (instantiate $code (with "thing" (instance (export "new" (func $new))))))
      (func $make #{make()} (canon lift (core func $code "make")))
      (func $number #{number()} (canon lift (core func $code "number")))
      (func $echo #{signature(name)} (canon lift (core func $code "echo") #{options()}))
      #{interface(type, name)})
    """
  end

  def component(type, :things_relay) do
    {declared, name} =
      declare(type, &~s|(type $#{&1}_ #{&2}) (export "#{&1}" (type $#{&1} (eq $#{&1}_)))|)

    """
    (component
      #{memory()}
      (import "exosuit:test/mirror" (instance $mirror
        (export "thing" (type $thing (sub resource)))
        #{declared}
        (export "make" (func #{make()}))
        (export "number" (func #{number()}))
        (export "echo" (func #{signature(name)}))))
      (alias export $mirror "thing" (type $thing))
      #{aliases(declared)}
      (core func $make_ (canon lower (func $mirror "make")))
      (core func $number_ (canon lower (func $mirror "number")))
      (core func $drop (canon resource.drop $thing))
      (core func $lowered (canon lower (func $mirror "echo") #{options()}))
      (core module $code
        (import "mirror" "make" (func $make (param i32) (result i32)))
        (import "mirror" "number" (func $number (param i32) (result i32)))
        (import "mirror" "drop" (func $drop (param i32)))
        (import "mirror" "echo" (func $echo (param i32 i32)))
        (func (export "make") (param i32) (result i32) (call $make (local.get 0)))
        (func (export "number") (param i32) (result i32)
          (call $number (local.get 0))
          (call $drop (local.get 0)))
        (func (export "echo") (param i32) (result i32)
          (call $echo (local.get 0) (i32.const 1024))
          (i32.const 1024)))
      (core instance $code (instantiate $code
        (with "mirror" (instance
          (export "make" (func $make_)) (export "number" (func $number_)) (export "drop" (func $drop))
          (export "echo" (func $lowered))))))
      (func (export "make") #{make()} (canon lift (core func $code "make")))
      (func (export "number") #{number()} (canon lift (core func $code "number")))
      (func (export "echo") #{signature(name)} (canon lift (core func $code "echo") #{options()})))
    """
  end

  def component(type, :relay) do
    {declared, name} =
      declare(type, &~s|(type $#{&1}_ #{&2}) (export "#{&1}" (type $#{&1} (eq $#{&1}_)))|)

    """
    (component
      #{memory()}
      (import "exosuit:test/mirror" (instance $mirror
        #{declared}
        (export "echo" (func #{signature(name)}))))
      #{aliases(declared)}
      (core func $lowered (canon lower (func $mirror "echo") #{options()}))
      (core module $code
        (import "mirror" "echo" (func $echo (param i32 i32)))
        (func (export "echo") (param i32) (result i32)
          (call $echo (local.get 0) (i32.const 1024))
          (i32.const 1024)))
      (core instance $code (instantiate $code
        (with "mirror" (instance (export "echo" (func $lowered))))))
      #{exported(name)})
    """
  end

  defp exported(name) do
    """
    (func $echo (export "echo") #{signature(name)}
      (canon lift (core func $code "echo") #{options()}))
    (instance $mirrored (export "echo" (func $echo)))
    (export "exosuit:test/mirror" (instance $mirrored))
    """
  end

  # `exosuit:test/mirror` with its resource. An interface needs a component of its own, which gives its types their
  # names: it imports them, and exports the same types once more.
  defp interface(type, name) do
    {imported, _name} =
      declare(type, &~s|(type $#{&1}_ #{&2}) (import "#{&1}" (type $#{&1} (eq $#{&1}_)))|)

    {exported, _name} =
      declare(type, &~s|(type $#{&1}_ #{&2}) (export $#{&1} "#{&1}" (type $#{&1}_))|)

    names = for [_all, name] <- Regex.scan(~r/\(import "(t\d+)"/, imported), do: name

    """
    (component $interface
      (import "thing" (type $thing (sub resource)))
      #{imported}
      (import "make" (func $make #{make()}))
      (import "number" (func $number #{number()}))
      (import "echo" (func $echo #{signature(name)}))
      (export $named "thing" (type $thing))
      #{named(exported)}
      (export "make" (func $make) (func #{named(make())}))
      (export "number" (func $number) (func #{named(number())}))
      (export "echo" (func $echo) (func #{named(signature(name))})))
    (instance $mirrored (instantiate $interface
      (with "thing" (type $thing))
      #{for name <- names, do: ~s|(with "#{name}" (type $#{name})) |}
      (with "make" (func $make)) (with "number" (func $number)) (with "echo" (func $echo))))
    (export "exosuit:test/mirror" (instance $mirrored))
    """
  end

  # The text with the exported types in the place of the imported ones.
  defp named(text) do
    text |> String.replace("$thing", "$named") |> String.replace(~r/\$t(\d)/, "$named_\\1")
  end

  # The types of the instance `mirror`, by the names that it declares.
  defp aliases(declared) do
    for [_all, name] <- Regex.scan(~r/\(export "(t\d+)"/, declared),
        do: ~s|(alias export $mirror "#{name}" (type $#{name}))|
  end

  defp make, do: ~s|(param "number" u32) (result (own $thing))|
  defp number, do: ~s|(param "thing" (borrow $thing)) (result u32)|

  defp signature(name) do
    numbers = for n <- 1..16, do: ~s|(param "n#{n}" u64) |
    ~s|#{numbers} (param "value" #{name}) (result (tuple u64 #{name}))|
  end

  defp options, do: ~s|(memory $memory "memory") (realloc (func $memory "realloc"))|

  defp memory do
    """
    (core module $memory
      (memory (export "memory") 64)
      (global $next (mut i32) (i32.const 65536))
      (func (export "realloc") (param $old i32) (param $from i32) (param $align i32) (param $to i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
          (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
        (global.set $next (i32.add (local.get $at) (local.get $to)))
        (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
          (then (drop (memory.grow (i32.add (i32.const 1)
            (i32.div_u (local.get $to) (i32.const 65536)))))))
        (memory.copy (local.get $at) (local.get $old) (local.get $from))
        (local.get $at)))
    (core instance $memory (instantiate $memory))
    """
  end

  # Named types are declared, as a component must; `declare` writes one by its name and definition.
  defp declare(type, declare) do
    {name, {declared, _count}} = reference(type, {[], 0}, declare)
    {declared |> Enum.reverse() |> Enum.join("\n"), name}
  end

  defp reference(:thing, state, _declare), do: {"(own $thing)", state}
  defp reference(type, state, _declare) when is_atom(type), do: {Atom.to_string(type), state}

  defp reference({:list, type}, state, declare) do
    {name, state} = reference(type, state, declare)
    {"(list #{name})", state}
  end

  defp reference({:map, key, type}, state, declare) do
    {name, state} = reference(type, state, declare)
    {"(map #{key} #{name})", state}
  end

  # The engine refuses it.
  defp reference({:list, type, length}, state, declare) do
    {name, state} = reference(type, state, declare)
    {"(list #{name} #{length})", state}
  end

  defp reference({:option, type}, state, declare) do
    {name, state} = reference(type, state, declare)
    {"(option #{name})", state}
  end

  defp reference({:tuple, types}, state, declare) do
    {names, state} = Enum.map_reduce(types, state, &reference(&1, &2, declare))
    {"(tuple #{Enum.join(names, " ")})", state}
  end

  defp reference({:result, ok, error}, state, declare) do
    {ok, state} = optional(ok, state, declare)
    {error, state} = optional(error, state, declare)
    {"(result#{ok && " #{ok}"}#{error && " (error #{error})"})", state}
  end

  defp reference({:record, fields}, state, declare) do
    {fields, state} =
      Enum.map_reduce(fields, state, fn {name, type}, state ->
        {type, state} = reference(type, state, declare)
        {~s|(field "#{name}" #{type})|, state}
      end)

    declared("(record #{Enum.join(fields, " ")})", state, declare)
  end

  defp reference({:variant, cases}, state, declare) do
    {cases, state} =
      Enum.map_reduce(cases, state, fn {name, type}, state ->
        {type, state} = optional(type, state, declare)
        {~s|(case "#{name}"#{type && " #{type}"})|, state}
      end)

    declared("(variant #{Enum.join(cases, " ")})", state, declare)
  end

  defp reference({kind, names}, state, declare) when kind in [:enum, :flags] do
    declared("(#{kind} #{Enum.map_join(names, " ", &inspect/1)})", state, declare)
  end

  defp optional(nil, state, _declare), do: {nil, state}
  defp optional(type, state, declare), do: reference(type, state, declare)

  defp declared(definition, {declared, count}, declare) do
    name = "t#{count}"
    {"$" <> name, {[declare.(name, definition) | declared], count + 1}}
  end

  defp names(range), do: @names |> Enum.shuffle() |> Enum.take(Enum.random(range))

  # The names are a fixed few.
  defp atom(name), do: name |> String.replace("-", "_") |> String.to_atom()

  defp many(range, fun), do: for(_n <- 1..Enum.random(range)//1, do: fun.())
  defp pick(list), do: Enum.random(list)
  defp rand(max), do: :rand.uniform(max + 1) - 1
end
