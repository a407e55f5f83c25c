defmodule Exosuit.Wasm do
  @moduledoc """
  Compiles modules and calls actors, by the engine's NIFs.

  A call does not pass through any process. The caller waits on its scheduler during the guest's first slice, of a
  millisecond at most, and in a `receive` after that.

      call/7 ── NIF: route, check, take an instance, poll the guest once
         │ finished within the slice                 │ not finished
         ▼                                           ▼
      `{:ok, answer}`, no thread was woken     `{:pending, call}`: Tokio goes on, the answer is a message

  The handle of a pending call is kept until the answer: when it is garbage-collected, or its process ends, the call is
  dropped, and its instance with it. A list of arguments that takes long to read goes through
  another NIF, on a dirty scheduler (`:large`); such a call always runs on Tokio.
  """

  alias Exosuit.{Config, Error, Native, Origin}
  alias Exosuit.Config.Engine
  alias Exosuit.Native.Answer

  @typedoc """
  `:auto` chooses by earlier calls of the operation, `:inline` polls the guest once on this scheduler, and `:async` goes
  to Tokio at once.
  """
  @type execution :: :auto | :inline | :async

  # The program that compiles one module, within its limits. If it is missing, the library compiles.
  @compiler "priv/native/exosuit-compile"

  # The engine answers at the deadline. Without an answer this much later, the engine itself has failed.
  @grace 5_000

  @doc """
  Starts the engine of this VM, once. The description in `{:ok, description}` says how it allocates instances.
  `cache_dir` is where compiled code is kept, `nil` for nowhere.

  A missing pool, cache or compiler is no error: the engine then works more slowly or bounds less, and the description
  says why. Only an engine that cannot run at all is an error.
  """
  @spec start_engine(Path.t() | nil, Engine.t()) :: {:ok, String.t()} | {:error, Error.t()}
  def start_engine(cache_dir, engine) do
    compiler = Application.app_dir(:exosuit, @compiler)
    cache_dir |> Native.engine_start(compiler, Map.from_struct(engine)) |> result()
  end

  @doc """
  With `links: :strict`, refuses a module with imports that no link could satisfy. Does not compile. Blocks
  the calling process for some milliseconds.
  """
  @spec check_imports(binary(), Config.t()) :: :ok | {:error, Error.t()}
  def check_imports(_bytes, %Config{links: :lenient}), do: :ok

  def check_imports(bytes, %Config{links: :strict}) do
    with {:ok, unanswered} <- bytes |> Native.engine_unanswered() |> result(),
         do: refuse(unanswered)
  end

  @doc "The same check for compiled code, for components whose imports are known only after compilation."
  @spec check_module(reference(), Config.t()) :: :ok | {:error, Error.t()}
  def check_module(_module, %Config{links: :lenient}), do: :ok

  def check_module(module, %Config{links: :strict}) do
    module |> Native.module_unanswered() |> refuse()
  end

  defp refuse([]), do: :ok

  defp refuse(unanswered) do
    {:error,
     Error.new(
       :invalid_module,
       "no interface of this host and no link can answer these imports: #{Enum.join(unanswered, ", ")}; " <>
         "build the module without them, or start the host with `links: :lenient`"
     )}
  end

  @doc """
  Compiles a module, or reads it from the cache. Blocks the calling process. If that process ends, the compile
  is stopped, unless other processes wait for the same module.

  Compiles of different tenants take turns. A compile is stopped after `limits[:time]` milliseconds, or
  beyond `limits[:memory]` bytes; other compiles continue.
  """
  @spec compile(binary(), tenant :: String.t(), keyword()) ::
          {:ok, reference()} | {:error, Error.t()}
  def compile(bytes, tenant, limits) do
    reference = make_ref()
    reply = {self(), reference}

    limits = {limits[:time], limits[:memory]}

    case Answer.checked(fn -> Native.module_compile(bytes, tenant, limits, reply) end) do
      {:ok, compiling} -> compiled(compiling, reference)
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc """
  Calls an actor by id, public key or call alias. Blocks the calling process until the answer or the deadline.

  The errors of `t:Exosuit.Error.reason/0` that a call may have are described in `Exosuit.call/5`. `:internal` means
  that the engine has not answered five seconds after the deadline; the call is cancelled then.
  """
  @spec call(
          reference(),
          String.t(),
          String.t(),
          binary() | [Exosuit.Wit.value()],
          Origin.from(),
          pos_integer(),
          execution()
        ) :: {:ok, Exosuit.Wit.value()} | {:error, Error.t()}
  def call(router, target, operation, payload, from, timeout, execution) do
    reference = make_ref()

    call = fn ->
      Native.call(router, target, operation, payload, from, timeout, execution, reference)
    end

    large = fn ->
      Native.call_large(router, target, operation, payload, from, timeout, reference)
    end

    case Answer.checked(call) do
      :large -> called(Answer.checked(large), reference, timeout)
      called -> called(called, reference, timeout)
    end
  end

  defp called({:ok, answer}, _reference, _timeout), do: {:ok, answer}
  defp called({:pending, call}, reference, timeout), do: wait(call, reference, timeout)
  defp called({:error, failure}, _reference, _timeout), do: {:error, Error.from_native(failure)}

  # Waits without a timeout, because compiles take turns and the engine always answers. The handle is returned after
  # the answer, because it must not be garbage-collected before.
  defp compiled(compiling, reference) do
    answer = Answer.receive_answer(reference, :infinity)
    Native.module_cancel(compiling)
    with {:ok, module} <- answer, do: named(module)
  end

  # Makes atoms of the names in the types of its functions. If there are too many, the actor does not start.
  defp named(module) do
    case Native.module_names(module) do
      :ok -> {:ok, module}
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  defp wait(call, reference, timeout) do
    case Answer.receive_answer(reference, timeout + @grace) do
      {:error, %Error{reason: :internal}} = silence ->
        Native.call_cancel(call)
        silence

      answer ->
        answer
    end
  end

  defp result({:error, failure}), do: {:error, Error.from_native(failure)}
  defp result(ok), do: ok
end
