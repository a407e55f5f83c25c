defmodule Exosuit.Environment do
  @moduledoc """
  Reads the environment of a host before anything starts.

  It is called from `config/runtime.exs` in a release, and in `exosuit up` beside its arguments. An app that embeds
  Exosuit reads no variables of a host.

      Variables      the table of known variables, and one value
      Lattice        the options of a lattice, from three families of variables
      Engine         the limits of the engine

  A value of another form becomes `{:mistake, text}` in the place of the value. All mistakes are reported at once, and
  nothing starts. A variable without effect causes a warning; an unsupported one that safety depends on is refused.
  Secrets are read as the names of their variables, see `Exosuit.Secret`.
  """

  alias Exosuit.Environment.{Engine, Lattice, Variables}

  @typedoc """
  The configuration of the two applications of a release, as `config/runtime.exs` sets it.
  """
  @type read :: [exosuit: keyword(), logger: keyword()]

  @trust_missing "EXOSUIT_TRUST must say whose actors may run: account keys (`A…`) with commas between " <>
                   "them, or `any`"

  # Variables that only a release reads, each with the argument of `exosuit up` that replaces it, if there is one.
  @not_with_up %{
    "EXOSUIT_MANIFESTS" => "`exosuit up` takes manifests as arguments",
    "EXOSUIT_DIST_PORT" => "`exosuit remote` finds the host by its socket"
  }

  @doc """
  The configuration of the applications of a release, or all mistakes in the variables. `EXOSUIT_TRUST` is required:
  a release must not trust everybody by accident. Unsigned actors are denied by default.

      iex> {:error, mistakes} = Exosuit.Environment.read(%{"EXOSUIT_UNSIGNED" => "perhaps"})
      iex> length(mistakes)
      2
  """
  @spec read(Variables.env()) :: {:ok, read()} | {:error, [String.t()]}
  def read(env) do
    host = host(env)
    host = Keyword.put_new(host, :trusted_issuers, {:mistake, @trust_missing})

    read = [
      host: Keyword.put_new(host, :unsigned, :deny),
      manifests: Variables.read(env, "EXOSUIT_MANIFESTS") || [],
      cache_dir: cache_dir(env),
      engine: Engine.read(env),
      level: level(env) || :info
    ]

    case mistakes(read) ++ Variables.refusals(env) do
      [] -> {:ok, configuration(read)}
      mistakes -> {:error, mistakes}
    end
  end

  @doc """
  The options of a host from the variables. Options that no variable sets are left out; a value may be a mistake
  instead.
  """
  @spec host(Variables.env()) :: keyword()
  def host(env) do
    {inherited, lattice} = env |> Lattice.read() |> Keyword.pop!(:labels)

    own = [
      trusted_issuers: Variables.read(env, "EXOSUIT_TRUST"),
      unsigned: Variables.read(env, "EXOSUIT_UNSIGNED"),
      links: Variables.read(env, "EXOSUIT_LINKS"),
      labels: merge(inherited, Variables.read(env, "EXOSUIT_LABELS") || %{}),
      data_dir: Variables.read(env, "EXOSUIT_DATA_DIR")
    ]

    Enum.reject(own, fn {_key, value} -> is_nil(value) end) ++ lattice
  end

  @doc "The log level from the variables, `nil` if none sets it; or a mistake."
  @spec level(Variables.env()) :: Logger.level() | nil | Variables.mistake()
  def level(env), do: Variables.first(env, ["EXOSUIT_LOG_LEVEL", "WASMCLOUD_LOG_LEVEL"])

  @doc "The directory of compiled code, `nil` if no variable sets it."
  @spec cache_dir(Variables.env()) :: Path.t() | nil | Variables.mistake()
  def cache_dir(env), do: Variables.read(env, "EXOSUIT_CACHE_DIR")

  @doc "The variables that keep a host from starting, each with the one to unset."
  @spec refusals(Variables.env()) :: [String.t()]
  defdelegate refusals(env), to: Variables

  @doc """
  All mistakes in a result of the functions above.

      iex> Exosuit.Environment.mistakes(name: :a, nats: [servers: {:mistake, "expected an address"}])
      ["expected an address"]
  """
  @spec mistakes(term()) :: [String.t()]
  def mistakes({:mistake, text}), do: [text]
  def mistakes(read) when is_list(read), do: Enum.flat_map(read, &mistakes/1)
  def mistakes({_key, value}), do: mistakes(value)
  def mistakes(_right), do: []

  @doc "Warnings for people about variables without effect, in a release or with `exosuit up`."
  @spec warnings(Variables.env(), :release | :up) :: [String.t()]
  def warnings(env, :release), do: Variables.warnings(env) ++ Lattice.warnings(env)
  def warnings(env, :up), do: Variables.warnings(env, @not_with_up) ++ Lattice.warnings(env)

  defp merge({:mistake, _text} = mistake, _more), do: mistake
  defp merge(_labels, {:mistake, _text} = mistake), do: mistake
  defp merge(labels, more), do: Map.merge(labels, more)

  defp configuration(read) do
    # Without a variable, `Exosuit.Application` chooses the default directory.
    cache = if read[:cache_dir], do: [cache_dir: read[:cache_dir]], else: []

    [
      exosuit: Keyword.take(read, [:host, :manifests, :engine]) ++ cache,
      logger: [level: read[:level]]
    ]
  end
end
