defmodule Exosuit.Environment do
  @moduledoc false
  # The environment variables of a release, read by config/runtime.exs before anything is started.
  # guides/release.md describes them.

  alias Exosuit.Config
  alias Exosuit.Environment
  alias Exosuit.Environment.Lattice

  @type read :: [exosuit: keyword(), logger: keyword()]

  @levels ~w(debug info notice warning error critical alert emergency)

  @doc "The configuration of the applications, or all that is wrong with it."
  @spec read(%{optional(String.t()) => String.t()}) :: {:ok, read()} | {:error, [String.t()]}
  def read(env) do
    {inherited, lattice} = env |> Lattice.read() |> Keyword.pop!(:labels)

    read = [
      host:
        [
          trusted_issuers: trust(env["EXOSUIT_TRUST"]),
          unsigned: unsigned(env["EXOSUIT_UNSIGNED"]),
          labels: labels(env["EXOSUIT_LABELS"], inherited),
          data_dir: path(env["EXOSUIT_DATA_DIR"])
        ] ++ lattice,
      manifests: paths(env["EXOSUIT_MANIFESTS"]),
      cache_dir: path(env["EXOSUIT_CACHE_DIR"]),
      engine: Environment.Engine.read(env),
      level: level(env["EXOSUIT_LOG_LEVEL"])
    ]

    case mistakes(read) do
      [] -> {:ok, configuration(read)}
      mistakes -> {:error, mistakes}
    end
  end

  defp configuration(read) do
    # Not said, the cache is where `Exosuit.Application` has it by default.
    cache = if read[:cache_dir], do: [cache_dir: read[:cache_dir]], else: []

    [
      exosuit: Keyword.take(read, [:host, :manifests, :engine]) ++ cache,
      logger: [level: read[:level]]
    ]
  end

  defp trust(value) when value in [nil, ""] do
    {:mistake,
     "EXOSUIT_TRUST must say whose actors may run: account keys (`A…`) with commas between them, or `any`"}
  end

  defp trust("any"), do: :any

  defp trust(keys) do
    case Enum.reject(list(keys, ","), &Config.issuers?([&1])) do
      [] -> list(keys, ",")
      [wrong | _more] -> mistake("EXOSUIT_TRUST", "account keys (`A…`) or `any`", head(wrong))
    end
  end

  # It may be a seed, given in the place of its public key.
  defp head(key) when byte_size(key) <= 4, do: key
  defp head(key), do: String.slice(key, 0, 4) <> "…"

  defp unsigned(value) when value in [nil, "", "deny"], do: :deny
  defp unsigned("allow"), do: :allow
  defp unsigned(other), do: mistake("EXOSUIT_UNSIGNED", "`allow` or `deny`", other)

  defp labels(nil, inherited), do: inherited

  defp labels(text, inherited) do
    pairs = for label <- list(text, ","), do: {label, String.split(label, "=", parts: 2)}

    case Enum.find(pairs, &(not match?({_label, [_key, _value]}, &1))) do
      nil -> for {_label, [key, value]} <- pairs, into: inherited, do: {key, value}
      {label, _parts} -> mistake("EXOSUIT_LABELS", "`key=value` with commas between them", label)
    end
  end

  defp level(value) when value in [nil, ""], do: :info
  defp level(value) when value in @levels, do: String.to_existing_atom(value)
  defp level(other), do: mistake("EXOSUIT_LOG_LEVEL", "one of #{Enum.join(@levels, ", ")}", other)

  defp path(value) when value in [nil, ""], do: nil
  defp path(value), do: Path.expand(value)

  defp paths(value), do: value |> list(":") |> Enum.map(&Path.expand/1)

  defp list(nil, _separator), do: []
  defp list(text, separator), do: String.split(text, separator, trim: true)

  defp mistake(variable, expected, found) do
    {:mistake, "expected #{variable} to be #{expected}, got: #{inspect(found)}"}
  end

  defp mistakes({:mistake, text}), do: [text]
  defp mistakes(read) when is_list(read), do: Enum.flat_map(read, &mistakes/1)
  defp mistakes({_key, value}), do: mistakes(value)
  defp mistakes(_right), do: []
end
