defmodule Exosuit.Native.Answer do
  @moduledoc """
  Calls a NIF, and waits for the one message that it promised with `:ok`.

      Answer.await(&Native.lattice_get(lattice, bucket, key, &1), 30_000)

  Outside input is checked where it enters (`Exosuit.Input`). If an argument still does not fit a NIF, it is refused
  with an error here, and crashes no process that others depend on.

  A timeout here is a safety net: the data plane has its own, undoes a change at its timeout, and answers. If this
  process stops waiting while the data plane goes on, the outcome is unknown. Therefore changes wait without a
  timeout (links, the start of a provider, which ends with its process), and timeouts are for requests that may be
  repeated (a drain, a compile, a read).

  A message that comes after the timeout stays in the mailbox of the caller. `Exosuit.Server` ignores such messages.
  """

  alias Exosuit.Error

  @doc """
  Calls `fun` with a reply address and waits for the answer. Blocks the calling process, for `timeout` milliseconds at
  most. `:internal` if no answer came in that time.
  """
  @spec await((Exosuit.Native.reply() -> :ok | Exosuit.Native.failure()), timeout()) ::
          {:ok, term()} | {:error, Error.t()}
  def await(fun, timeout) do
    reference = make_ref()

    case checked(fn -> fun.({self(), reference}) end) do
      :ok -> receive_answer(reference, timeout)
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc """
  The result of a NIF, or a failure if the NIF does not accept its arguments. The failure names the NIF alone: its
  arguments may be secrets.
  """
  @spec checked((() -> result)) :: result | Exosuit.Native.failure() when result: var
  def checked(fun) do
    fun.()
  rescue
    ArgumentError ->
      {:error, {:invalid_input, "#{refused(__STACKTRACE__)} does not accept these arguments"}}
  end

  # Names the NIF alone, because its arguments may be secrets.
  defp refused([{Exosuit.Native, name, _arguments, _place} | _more]), do: "the function #{name}"
  defp refused(_other), do: "the native library"

  @doc """
  Waits for the answer under this reference, after a NIF has promised it. `:internal` if no answer came in time.
  """
  @spec receive_answer(reference(), timeout()) :: {:ok, term()} | {:error, Error.t()}
  def receive_answer(reference, timeout) do
    receive do
      {^reference, {:ok, value}} -> {:ok, value}
      {^reference, {:error, failure}} -> {:error, Error.from_native(failure)}
    after
      timeout ->
        {:error, Error.new(:internal, "the native library did not answer within #{timeout} ms")}
    end
  end
end
