defmodule Exosuit.Event.ReferenceTest do
  use ExUnit.Case, async: true

  alias Exosuit.Edge.LogLines
  alias Exosuit.Event
  alias Exosuit.Event.Types
  alias Exosuit.Protocol.{Otp, V1}

  @root Path.expand("../../..", __DIR__)
  @guide Path.join(@root, "guides/events.md")

  @forms %{
    text: "text",
    text_or_nil: "text or nothing",
    word: "word",
    number: "number",
    number_or_nil: "number or nothing",
    flag: "true or false",
    texts: "list of texts",
    map: "texts by name",
    maps: "list of objects",
    claims: "object or nothing"
  }

  test "guides/events.md shows all types, and the names that the tools of wasmCloud know" do
    sections = Types.all() |> Enum.chunk_by(& &1.section) |> Enum.map_join("\n", &section/1)
    check("types", sections)
  end

  test "guides/events.md shows all fields" do
    # Fields that mean something else in a type are explained there.
    rows =
      for {name, {form, meaning}} <- Enum.sort(Types.fields()),
          do: "| `#{name}` | #{@forms[form]} | #{meaning} |\n"

    check("fields", "| field | form | meaning |\n|---|---|---|\n#{rows}")
  end

  test "a line of the log names every type by itself" do
    lines = for description <- Types.all(), do: LogLines.text(hd(samples(description)))
    assert lines == Enum.uniq(lines)
  end

  test "the data of an event has its required fields, and optional ones with a value" do
    lost = Event.new("N", %Event.HostLost{host_id: "N2", friendly_name: nil})
    assert %Event{type: "host_lost", data: %{host_id: "N2", friendly_name: nil}} = lost

    dropped = %Event.EventsDropped{count: 1}
    assert Event.new("N", dropped).data == %{count: 1}
    assert Event.new("N", %{dropped | subscriber: true}).data == %{count: 1, subscriber: true}
  end

  test "an event is made by its name only with the fields of its type" do
    assert Types.cast("host_lost", %{host_id: "N", friendly_name: "a"}) ==
             {:ok, %Event.HostLost{host_id: "N", friendly_name: "a"}}

    assert Types.cast("host_lots", %{host_id: "N", friendly_name: "a"}) == :error
    assert Types.cast("host_lost", %{host_id: "N"}) == :error
    assert Types.cast("host_lost", %{host_id: "N", friendly_name: "a", age: 1}) == :error
  end

  test "an event with a misspelt type or field does not compile, nor one that lacks a field" do
    assert {:module, _} = compile("%Exosuit.Event.HostLost{host_id: 1, friendly_name: 2}")

    for event <- ["HostLots{}", "HostLost{host_id: 1, friend: 2}", "HostLost{host_id: 1}"],
        do: assert(compile("%Exosuit.Event.#{event}") == :refused)
  end

  test "who matches on a type names one of the table" do
    types = for %{type: type} <- Types.all(), do: type

    matched =
      for paths <- ~w(README.md guides/*.md examples/**/*.{ex,exs,md} {lib,test}/**/*.{ex,exs}),
          path <- Path.wildcard(Path.join(@root, paths)),
          [_all, type] <-
            Regex.scan(~r/(?:exosuit_event, %\{|Event\{)type: "(\w+)"/, File.read!(path)),
          do: {Path.relative_to(path, @root), type}

    assert length(matched) > 50
    assert [] == for({_path, type} = match <- matched, type not in types, do: match)
  end

  defp compile(expression) do
    name = "Exosuit.Event.ReferenceTest.Made#{System.unique_integer([:positive])}"
    code = "defmodule #{name} do\n  def event, do: #{expression}\nend"

    # Newer versions of Elixir write what is wrong.
    {result, _written} =
      ExUnit.CaptureIO.with_io(:stderr, fn ->
        try do
          [{module, _beam}] = Code.compile_string(code)
          {:module, module}
        rescue
          _refusal in [CompileError, ArgumentError, KeyError] -> :refused
        end
      end)

    result
  end

  defp section([%{section: title} | _] = descriptions) do
    head =
      "### #{title}\n\n| event | sent when | fields | OTP era | 1.x |\n|---|---|---|---|---|\n"

    head <> Enum.map_join(descriptions, &row/1)
  end

  defp row(%{type: type, sent: sent, fields: fields} = description) do
    cells = [
      "`#{type}`",
      sent,
      Enum.map_join(fields, ", ", &field/1),
      names(for event <- samples(description), message <- Otp.Events.encode(event), do: message),
      names(
        for event <- samples(description),
            {_name, message} <- V1.Events.encode(event),
            do: message
      )
    ]

    "| #{Enum.join(cells, " | ")} |\n"
  end

  defp field(field) do
    own? = Types.fields()[field.name] != {field.form, field.meaning}
    mark = if field.required?, do: "", else: "?"
    "`#{field.name}`#{mark}" <> if(own?, do: " (#{field.meaning})", else: "")
  end

  defp names([]), do: "–"

  defp names(messages) do
    messages
    |> Enum.map(fn %{type: "com.wasmcloud.lattice." <> name} -> "`#{name}`" end)
    |> Enum.uniq()
    |> Enum.join(", ")
  end

  # Events of a type with all its fields. Instances that come and instances that go have other names.
  defp samples(%{module: module, fields: fields}) do
    data = Map.new(fields, &{&1.name, sample(&1)})
    more = Event.new("NHOST", struct!(module, data))

    if is_map_key(data, :before),
      do: [more, Event.new("NHOST", struct!(module, %{data | before: data.shares, shares: []}))],
      else: [more]
  end

  defp sample(%{name: :shares}), do: [%{annotations: %{}, instances: 1}]
  defp sample(%{form: :word}), do: :word
  defp sample(%{form: form}) when form in [:number, :number_or_nil], do: 1
  defp sample(%{form: :flag}), do: true
  defp sample(%{form: :texts}), do: ["one"]
  defp sample(%{form: :map}), do: %{}
  defp sample(%{form: :maps}), do: []
  defp sample(%{form: :claims}), do: nil
  defp sample(%{name: name}), do: "the #{name}"

  defp check(name, content) do
    text = File.read!(@guide)
    marker = ~r/(?<=<!-- #{name} -->\n).*?(?=<!-- end -->)/s
    [shown] = Regex.run(marker, text)

    if System.get_env("EXOSUIT_WRITE_GUIDES") do
      File.write!(@guide, Regex.replace(marker, text, fn _shown -> content end))
    else
      assert shown == content, "guides/events.md: run this test with EXOSUIT_WRITE_GUIDES=1"
    end
  end
end
