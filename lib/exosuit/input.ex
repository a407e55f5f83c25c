defmodule Exosuit.Input do
  @moduledoc """
  Checks the numbers, names and references in the input of a host. Pure.

  Rust has the one table of bounds and the one parser of each name (`exosuit_core`). Options, manifests, the control
  socket, both control interfaces and lattice records all use it through this module, so that a name that one of them
  accepts is accepted by all.

  The NIFs accept every value that passes here, so that no outside input makes a NIF raise.

  The bounds are kept as persistent terms after the first use, because every call with a timeout checks one. Names are
  checked by a NIF each time.
  """

  alias Exosuit.{Error, Native}

  @typedoc "The kinds of numbers, as `exosuit_core` has them."
  @type bound ::
          :instances
          | :count
          | :number
          | :amount
          | :bytes
          | :milliseconds
          | :wait
          | :seconds
          | :port
          | :replicas
          | :depth

  @typedoc "The kinds of names, as `exosuit_core` has them."
  @type kind ::
          :id
          | :link_name
          | :interface
          | :contract
          | :namespace
          | :package
          | :alias
          | :configuration
          | :key

  @typedoc """
  A parsed reference: a file and its path, a built-in provider, a provider of the host's `:providers`, or the image of a
  registry.
  """
  @type code :: {:file | :builtin | :module | :registry, String.t()}

  @bounds ~w(instances count number amount bytes milliseconds wait seconds port replicas depth)a

  @doc "Whether a term is a kind of number that has a bound."
  defguard is_bound(kind) when kind in @bounds

  @doc "The kinds of numbers."
  @spec bounds() :: [bound()]
  def bounds, do: @bounds

  @doc """
  Whether a term is a number within the bound.

      iex> Enum.map([8080, 65_536, "8080"], &Exosuit.Input.within?(:port, &1))
      [true, false, false]
  """
  @spec within?(bound(), term()) :: boolean()
  def within?(bound, value) do
    {min, max, _text} = bound(bound)
    is_integer(value) and value >= min and value <= max
  end

  @doc """
  The greatest number that the bound allows.

      iex> Exosuit.Input.max(:port)
      65_535
  """
  @spec max(bound()) :: pos_integer()
  def max(bound), do: bound |> bound() |> elem(1)

  @doc """
  The expectation for messages.

      iex> Exosuit.Input.expectation(:instances)
      "a number of instances from 1 to 100000"
  """
  @spec expectation(bound()) :: String.t()
  def expectation(bound), do: bound |> bound() |> elem(2)

  @doc """
  `:ok`, or the reason why a term is not a name of this kind.

      iex> Exosuit.Input.check_name(:contract, "wasmcloud:keyvalue")
      :ok
      iex> {:error, error} = Exosuit.Input.check_name(:contract, "keyvalue")
      iex> error.reason
      :invalid_input
  """
  @spec check_name(kind(), term()) :: :ok | {:error, Error.t()}
  def check_name(kind, text) when is_binary(text) do
    with {:error, failure} <- Native.name_check(Atom.to_string(kind), text),
         do: {:error, Error.from_native(failure)}
  end

  def check_name(kind, _other) do
    {:error, Error.new(:invalid_input, "expected a text as #{kind}")}
  end

  @doc """
  Whether a term is a name of this kind.

      iex> Exosuit.Input.name?(:id, "shop")
      true
  """
  @spec name?(kind(), term()) :: boolean()
  def name?(kind, text), do: check_name(kind, text) == :ok

  @doc """
  Parses a reference to code, as people write it. Reads no file. `:invalid_input` for another form.

      iex> Exosuit.Input.parse_reference("wasmcloud+builtin://keyvalue")
      {:ok, {:builtin, "keyvalue"}}
      iex> Exosuit.Input.parse_reference("exosuit+module://Greeter")
      {:ok, {:module, "Greeter"}}
  """
  @spec parse_reference(String.t()) :: {:ok, code()} | {:error, Error.t()}
  def parse_reference(text) do
    with {:error, failure} <- Native.reference_parse(text),
         do: {:error, Error.from_native(failure)}
  end

  @doc "The error for an image in a registry; says how to write a file of that name."
  @spec refuse_registry(String.t()) :: {:error, Error.t()}
  def refuse_registry(image),
    do: {:error, Error.new(:invalid_input, Native.reference_refusal(image))}

  # The bounds are read once, because calls with a timeout check one each.
  defp bound(bound) do
    with nil <- :persistent_term.get({__MODULE__, bound}, nil) do
      row = row(Atom.to_string(bound))
      :persistent_term.put({__MODULE__, bound}, row)
      row
    end
  end

  defp row(name) do
    {_name, min, max, text} = List.keyfind!(Native.bounds(), name, 0)
    {min, max, text}
  end
end
