defmodule Exosuit.App.Model.Shape do
  @moduledoc """
  The shape that a manifest must have in a model. Anybody who may write objects may write any JSON. A host must
  refuse wrong JSON with an error instead of crashing. Numbers are within the bounds of `Exosuit.Input`, so that
  the NIFs take them.

  A type is a function of a value. If it accepts the value, it returns `nil`, otherwise the path within the value and a
  text with the expected form. Types are made of types: `fields/2` for maps, `list/1` for lists, `optional/1` for values
  that may be absent. A map may have further fields, which a newer Exosuit may have written.

      iex> manifest = %{"file" => "a.yaml", "name" => "shop", "components" => [], "providers" => [], "links" => []}
      iex> Exosuit.App.Model.Shape.check(manifest)
      :ok
      iex> Exosuit.App.Model.Shape.check(%{manifest | "links" => [1]})
      {:error, "links.0: expected a map"}

  It checks the form alone. Whether two workloads have the same id, or a link has a target, was checked by the parser
  of the host that applied the manifest. Code that uses a model must not rely on such rules.
  """

  alias Exosuit.App.Record
  alias Exosuit.Model.Digest

  # Bounds on the work that one manifest can make; those of the parser are lower.
  @max_list 10_000
  @max_number 4_294_967_295
  @max_bytes 9_007_199_254_740_991

  @doc "`:ok`, or where the manifest differs from what was expected."
  @spec check(term()) :: :ok | {:error, String.t()}
  def check(manifest) do
    case manifest(manifest) do
      nil -> :ok
      {path, expected} -> {:error, "#{Enum.join(path, ".")}: expected #{expected}"}
    end
  end

  defp manifest(value) do
    fields(value, %{
      "file" => &text/1,
      "name" => &name/1,
      "components" => list(&component/1),
      "providers" => list(&provider/1),
      "links" => list(&link/1),
      "rollout" => optional(&rollout/1)
    })
  end

  defp rollout(value) do
    fields(value, %{
      "max_unavailable" => optional(&count/1),
      "progress_deadline_ms" => optional(&deadline/1)
    })
  end

  defp component(value) do
    workload(value, %{
      "max_instances" => optional(&count/1),
      "settings" => &settings/1
    })
  end

  defp provider(value), do: workload(value, %{"instances" => optional(&count/1)})

  defp workload(value, more) do
    fields(
      value,
      Map.merge(more, %{
        "id" => &text/1,
        "image" => &image/1,
        "scaler" => one_of(~w(spread daemon)),
        "spread" => list(&spread/1),
        "singleton" => optional(&flag/1),
        "config" => &texts/1,
        "config_parts" => list(&part/1),
        "annotations" => &texts/1
      })
    )
  end

  defp image(%{"kind" => "object", "value" => digest}) do
    if Digest.valid?(digest), do: nil, else: {["value"], "a digest of the form sha256:…"}
  end

  defp image(value) do
    fields(value, %{"kind" => one_of(~w(builtin module oci)), "value" => &text/1})
  end

  defp spread(value) do
    fields(value, %{"name" => &text/1, "requirements" => &texts/1, "weight" => &number/1})
  end

  defp settings(value) do
    fields(value, %{"limits" => &limits/1, "instances" => &instances/1, "grants" => &grants/1})
  end

  defp limits(value) do
    fields(value, %{
      "memory" => optional(&bytes/1),
      "table" => optional(&number/1),
      "queue" => optional(&number/1),
      "log" => optional(&number/1),
      "deadline" => optional(&bytes/1),
      "resource_idle" => optional(&bytes/1)
    })
  end

  defp instances(%{"kind" => "warm"} = value) do
    positive = optional(&count/1)
    fields(value, %{"pool" => positive, "calls" => positive, "idle_ms" => optional(&bytes/1)})
  end

  defp instances(value), do: fields(value, %{"kind" => one_of(~w(ephemeral))})

  defp grants(value) do
    fields(value, %{
      "arguments" => list(&text/1),
      "environment" => &texts/1,
      "directories" => list(&directory/1)
    })
  end

  defp directory(value) do
    fields(value, %{
      "host" => &text/1,
      "guest" => &text/1,
      "access" => one_of(~w(read write))
    })
  end

  defp link(value) do
    fields(value, %{
      "source" => &text/1,
      "target" => &text/1,
      "name" => &text/1,
      "namespace" => &text/1,
      "package" => &text/1,
      "interfaces" => list(&text/1),
      "source_config" => &texts/1,
      "target_config" => &texts/1,
      "source_parts" => list(&part/1),
      "target_parts" => list(&part/1)
    })
  end

  defp part(%{"kind" => "given"} = value), do: fields(value, %{"value" => &texts/1})

  defp part(value) do
    stored = fn value -> fields(value, %{"name" => &text/1, "place" => &place/1}) end
    fields(value, %{"kind" => one_of(~w(stored)), "value" => stored})
  end

  defp place(value) do
    fields(value, %{"line" => &number/1, "column" => &number/1, "path" => &text/1})
  end

  defp fields(%{} = value, types) do
    Enum.find_value(types, fn {field, type} -> within(field, type.(value[field])) end)
  end

  defp fields(_other, _types), do: {[], "a map"}

  defp list(type) do
    fn
      values when is_list(values) and length(values) <= @max_list ->
        values
        |> Enum.with_index()
        |> Enum.find_value(fn {value, index} -> within("#{index}", type.(value)) end)

      _other ->
        {[], "a list of at most #{@max_list}"}
    end
  end

  defp within(_field, nil), do: nil
  defp within(field, {path, expected}), do: {[field | path], expected}

  defp optional(type), do: fn value -> if value != nil, do: type.(value) end

  defp one_of(texts) do
    fn value -> if value not in texts, do: {[], Enum.join(texts, " or ")} end
  end

  defp flag(value), do: if(not is_boolean(value), do: {[], "true or false"})
  defp name(value), do: if(not Record.name?(value), do: {[], "a name of an application"})
  defp text(value), do: if(not text?(value), do: {[], "a text"})

  defp texts(value) do
    texts? = is_map(value) and Enum.all?(value, fn {key, text} -> text?(key) and text?(text) end)
    if not texts?, do: {[], "a map of texts"}
  end

  defp count(value), do: if(not within?(value, 1, 100_000), do: {[], "a number from 1 to 100000"})
  defp number(value), do: if(not within?(value, 0, @max_number), do: {[], "a number of 32 bits"})
  defp bytes(value), do: if(not within?(value, 0, @max_bytes), do: {[], "a number of 53 bits"})

  defp deadline(value),
    do: if(not within?(value, 1, @max_number), do: {[], "a number of milliseconds"})

  defp within?(value, min, max), do: is_integer(value) and value >= min and value <= max
  defp text?(value), do: is_binary(value) and String.valid?(value)
end
