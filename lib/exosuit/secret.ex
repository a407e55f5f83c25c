defmodule Exosuit.Secret do
  @moduledoc """
  A handle of a seed, a token or a password. The text itself is kept in the data plane, not in the BEAM.

  Process states, messages, stack traces, crash dumps and `inspect/1` do not show the text. When the last reference to
  the handle is gone, the text is wiped.

  An option for a secret accepts these forms:

  | form | place of the text |
  |---|---|
  | `{:env, "NAME"}` | in an environment variable |
  | `{:file, "/path"}` | a file; white space at its end is ignored, and the JSON of `exosuit keys gen --json` is accepted |
  | a handle from `new/1` | the data plane |
  | a string | the options themselves |

  A supervisor keeps a string in its child specification. Use strings only in tests.
  """

  alias Exosuit.{Error, Native}

  @enforce_keys [:handle]
  defstruct [:handle]

  @type t :: %__MODULE__{handle: reference()}
  @type source :: t() | String.t() | {:env, String.t()} | {:file, Path.t()}

  # The longest token.
  @max_bytes 65_536

  @doc """
  Whether a term has one of these forms. Does not read the place that it names.

      iex> Enum.map([{:env, "TOKEN"}, {:file, "/no/such"}, "text", "", :text], &Exosuit.Secret.source?/1)
      [true, true, true, false, false]
  """
  @spec source?(term()) :: boolean()
  def source?(%__MODULE__{}), do: true
  def source?({:env, name}), do: text?(name)
  def source?({:file, path}), do: text?(path)
  def source?(text), do: text?(text)

  @doc """
  Takes a secret into the data plane. Reads a file in the calling process.

      iex> {:ok, secret} = Exosuit.Secret.new("s3cret")
      iex> inspect(secret)
      "#Exosuit.Secret<...>"

      iex> {:error, error} = Exosuit.Secret.new({:env, "EXOSUIT_NO_SUCH_VARIABLE"})
      iex> error.detail
      ~s(the environment variable "EXOSUIT_NO_SUCH_VARIABLE" is not set)
  """
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

  @doc """
  The public key of a seed of this kind (`"cluster"`).

      iex> {:ok, {public_key, seed}} = Exosuit.Secret.generate("cluster")
      iex> Exosuit.Secret.public_key(seed, "cluster") == {:ok, public_key}
      true
  """
  @spec public_key(t(), String.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def public_key(%__MODULE__{handle: handle}, kind) do
    with {:error, failure} <- Native.secret_public_key(handle, kind),
         do: {:error, Error.from_native(failure)}
  end

  @doc """
  The host names in the addresses of a lattice's servers, which are a secret as a whole.

      iex> {:ok, servers} = Exosuit.Secret.new("nats://user:password@one.example:4222,tls://two.example")
      iex> Exosuit.Secret.hosts(servers)
      ["one.example", "two.example"]
  """
  @spec hosts(t()) :: [String.t()]
  def hosts(%__MODULE__{handle: handle}), do: Native.secret_hosts(handle)

  @doc "The handle for the data plane, or `nil`."
  @spec handle_of(t() | nil) :: reference() | nil
  def handle_of(nil), do: nil
  def handle_of(%__MODULE__{handle: handle}), do: handle

  # Runs in a process of its own, whose memory is freed at its end. Here the text would stay in memory until the next
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
