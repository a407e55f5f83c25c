defmodule Exosuit.Native.Answer do
  @moduledoc false
  # Waits for the one message that a NIF promised with `:ok`.

  alias Exosuit.Error

  @doc "Calls `fun` with a reply address and waits for what comes. Blocks the calling process."
  @spec await((Exosuit.Native.reply() -> :ok | Exosuit.Native.failure()), timeout()) ::
          {:ok, term()} | {:error, Error.t()}
  def await(fun, timeout) do
    reference = make_ref()

    case fun.({self(), reference}) do
      :ok -> receive_answer(reference, timeout)
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc "Waits for the answer under this reference."
  @spec receive_answer(reference(), timeout()) :: {:ok, term()} | {:error, Error.t()}
  def receive_answer(reference, timeout) do
    receive do
      {^reference, {:ok, value}} -> {:ok, value}
      {^reference, {:error, failure}} -> {:error, Error.from_native(failure)}
    after
      timeout ->
        {:error, Error.new(:internal, "the native library gave no answer in #{timeout} ms")}
    end
  end
end
