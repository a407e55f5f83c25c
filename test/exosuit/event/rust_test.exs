defmodule Exosuit.Event.RustTest do
  use ExUnit.Case, async: true

  alias Exosuit.Event.Types

  # Rust does not know the table: the data plane sends types and fields by their names, and the command shows some
  # of them. This compares the names in the source with the table.
  @root Path.expand("../../..", __DIR__)
  @encoder "native/exosuit_nif/src/notices.rs"
  @sources [
    @encoder,
    "native/exosuit_nif/src/lattice/notices.rs",
    "native/exosuit_capabilities/src/http/server/tls.rs"
  ]

  test "the data plane sends only types that the table has" do
    types = for %{type: type} <- Types.all(), do: type

    sent =
      for source <- @sources,
          [_all, type] <-
            Regex.scan(~r/(?:event\(env, |tell\(|\()"([a-z]+_[a-z_]+)",? ?/, read(source)),
          not is_map_key(Types.fields(), String.to_atom(type)),
          type not in ~w(exosuit_notice log_dropped),
          do: type

    assert length(sent) > 15
    assert sent -- types == []
  end

  test "the data plane sends each of its types with the fields of the table" do
    descriptions = Map.new(Types.all(), &{&1.type, &1.fields})

    for {type, fields} <- constants(read(@encoder)) do
      names = for field <- descriptions[type], do: field.name
      required = for field <- descriptions[type], field.required?, do: field.name
      assert fields -- names == [], type
      assert required -- fields == [], type
    end
  end

  test "a line of `exosuit events` shows something of each type" do
    source = read("native/exosuit_cli/src/host/events.rs")
    assert [subjects, details] = Regex.scan(~r/const \w+: \[&str; \d+\] = \[(.*?)\];/s, source)

    names =
      for [_all, text] <- [subjects, details],
          [_, name] <- Regex.scan(~r/"(\w+)"/, text),
          do: name

    shown = ["source", "target" | names]

    # Their names say it all.
    silent = ~w(host_stopped labels_changed wadm_api_silent wadm_api_serving)

    assert [] ==
             for(
               %{type: type, fields: fields} <- Types.all(),
               type not in silent,
               not Enum.any?(fields, &(Atom.to_string(&1.name) in shown)),
               do: type
             )
  end

  # For each type that has one arm of the encoder to itself: the fields that the arm writes.
  defp constants(text) do
    for arm <- String.split(text, ["Notice::", "\nfn "]),
        [_all, how, type] <- [
          Regex.run(~r/(event\(env, |\()"([a-z]+_[a-z_]+)", (?:map|&fields)/, arm)
        ] do
      fields = for [_all, name] <- Regex.scan(~r/\("([a-z_]+)", \S+\.encode/, arm), do: name
      failure = if String.starts_with?(how, "event"), do: ~w(reason error), else: []
      {type, Enum.map(fields ++ failure, &String.to_atom/1)}
    end
  end

  defp read(source), do: File.read!(Path.join(@root, source))
end
