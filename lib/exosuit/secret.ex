defmodule Exosuit.Secret do
  @moduledoc """
  A seed, a token or a password that the data plane keeps: the BEAM has a handle of it.

  No process state, message, stack trace or crash dump shows the text, and `inspect/1` shows none. It is
  wiped when the last holder of the handle is gone.

  An option that takes a secret takes it in one of these forms:

  | form | where the text is |
  |---|---|
  | `{:env, "NAME"}` | in an environment variable |
  | `{:file, "/path"}` | in a file, white space at its end left out; or one that `exosuit keys gen --json` wrote |
  | a handle, as `new/1` gives it | in the data plane already |
  | a string | here: whoever holds the options holds the text as well |

  A string ends up in the child specification that a supervisor keeps. Use it in tests.
  """

  alias Exosuit.{Error, Native}

  @enforce_keys [:handle]
  defstruct [:handle]

  @type t :: %__MODULE__{handle: reference()}
  @type source :: t() | String.t() | {:env, String.t()} | {:file, Path.t()}

  # As much as a token may be long.
  @max_bytes 65_536

  @doc "Whether a term is one of the forms; the place that it names is not looked at."
  @spec source?(term()) :: boolean()
  def source?(%__MODULE__{}), do: true
  def source?({:env, name}), do: text?(name)
  def source?({:file, path}), do: text?(path)
  def source?(text), do: text?(text)

  @doc "Takes a secret into the data plane. Reads a file in the calling process."
  @spec new(source()) :: {:ok, t()} | {:error, Error.t()}
  def new(%__MODULE__{} = secret), do: {:ok, secret}
  def new({:env, name}), do: from_environment(name)
  def new({:file, path}), do: path |> Path.expand() |> Native.secret_from_file() |> handle()
  def new(text) when is_binary(text), do: text |> Native.secret_new() |> handle()

  @doc "A new key of a kind (`\"cluster\"`): its public key and its seed."
  @spec generate(String.t()) :: {:ok, {String.t(), t()}} | {:error, Error.t()}
  def generate(kind) do
    case Native.secret_generate(kind) do
      {:ok, {public_key, handle}} -> {:ok, {public_key, %__MODULE__{handle: handle}}}
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc "The public key of a seed of this kind (`\"cluster\"`)."
  @spec public_key(t(), String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def public_key(%__MODULE__{handle: handle}, kind) do
    with {:error, failure} <- Native.secret_public_key(handle, kind),
         do: {:error, Error.from_native(failure)}
  end

  @doc "The hosts of a lattice's servers, of which it holds the addresses."
  @spec hosts(t()) :: [String.t()]
  def hosts(%__MODULE__{handle: handle}), do: Native.secret_hosts(handle)

  @doc "What the data plane takes: a handle, or nothing."
  @spec handle_of(t() | nil) :: reference() | nil
  def handle_of(nil), do: nil
  def handle_of(%__MODULE__{handle: handle}), do: handle

  # In a process of its own, whose memory goes with it: here the text would lie about until the next
  # garbage collection.
  defp from_environment(name) do
    if name =~ ~r/[=\0]/, do: {:error, unset(name)}, else: taken(name)
  end

  defp taken(name) do
    task = Task.async(fn -> name |> System.get_env("") |> Native.secret_new() end)

    case Task.await(task, :infinity) do
      {:ok, handle} -> {:ok, %__MODULE__{handle: handle}}
      {:error, _empty} -> {:error, unset(name)}
    end
  end

  defp unset(name) do
    Error.new(:invalid_input, "the environment variable #{inspect(name)} is not set")
  end

  defp handle({:ok, handle}), do: {:ok, %__MODULE__{handle: handle}}
  defp handle({:error, failure}), do: {:error, Error.from_native(failure)}

  defp text?(text) do
    is_binary(text) and byte_size(text) in 1..@max_bytes and String.valid?(text)
  end

  defimpl Inspect do
    def inspect(_secret, _options), do: "#Exosuit.Secret<...>"
  end
end
