defmodule Exosuit.Provider.Keeper do
  @moduledoc false
  # The process of a provider in Elixir: runs its `init/1`, and its links one after another. With it
  # end its dispatcher and the calls that run; the reconciler starts it again, and the data plane
  # gives it its links again.
  #
  # Sends what `Exosuit.Provider.Builtin` sends to the process that it reports to.

  use GenServer, restart: :temporary

  alias Exosuit.{Config, Directory, Error, Router}
  alias Exosuit.Model.ProviderSpecification
  alias Exosuit.Provider.{Dispatcher, Failure, Link}

  # What the provider was configured with and has made of it is its own: no crash report shows it.
  @derive {Inspect, only: [:specification, :module]}
  @enforce_keys [:config, :specification, :module, :report_to]
  defstruct [
    :config,
    :specification,
    :module,
    :report_to,
    :dispatcher,
    :starting,
    :state,
    :native
  ]

  @spec start_link({Config.t(), ProviderSpecification.t(), nil, pid()}) :: GenServer.on_start()
  def start_link({config, specification, nil, report_to}) do
    {:module, _name, module} = specification.artifact

    GenServer.start_link(__MODULE__, %__MODULE__{
      config: config,
      specification: specification,
      module: module,
      report_to: report_to
    })
  end

  @impl GenServer
  def init(keeper), do: {:ok, keeper, {:continue, :start}}

  @impl GenServer
  def handle_continue(:start, keeper) do
    with {:ok, state} <- initialise(keeper),
         {:ok, dispatcher} <- start_dispatcher(keeper, state),
         {:ok, reference} <- serve(keeper, dispatcher) do
      {:noreply, %{keeper | state: state, dispatcher: dispatcher, starting: reference}}
    else
      {:error, %Error{} = error} -> fail(keeper, error)
    end
  end

  # It serves, and has its links.
  @impl GenServer
  def handle_info({reference, {:ok, {native, refused}}}, %{starting: reference} = keeper) do
    Directory.enter(keeper.config.name, key(keeper), %{native: native, refused_links: refused})
    send(keeper.report_to, {:exosuit_started, self(), nil})
    {:noreply, %{keeper | native: native, starting: nil}}
  end

  def handle_info({reference, {:error, failure}}, %{starting: reference} = keeper) do
    fail(keeper, Error.from_native(failure))
  end

  def handle_info({:exosuit_link, question, :put, key, values}, keeper) do
    link = link(key, values)

    case run(keeper, :put_link, [link, keeper.state]) do
      {:ok, state} ->
        :ok = Dispatcher.put_link(keeper.dispatcher, key, link, state)
        Router.answer(question, :ok, "")
        {:noreply, %{keeper | state: state}}

      {:error, text} ->
        Router.answer(question, :provider, text)
        {:noreply, keeper}
    end
  end

  # It is gone, whatever the provider makes of that.
  def handle_info({:exosuit_link, question, :delete, key, values}, keeper) do
    {code, text, state} =
      case run(keeper, :delete_link, [link(key, values), keeper.state]) do
        {:ok, state} -> {:ok, "", state}
        {:error, text} -> {:provider, text, keeper.state}
      end

    :ok = Dispatcher.delete_link(keeper.dispatcher, key, state)
    Router.answer(question, code, text)
    {:noreply, %{keeper | state: state}}
  end

  # Told rather than killed, if the provider has made this process trap exits.
  def handle_info({:EXIT, dispatcher, reason}, %{dispatcher: dispatcher} = keeper) do
    {:stop, reason, keeper}
  end

  # What the provider's own processes send to the one that started them.
  def handle_info(_message, keeper), do: {:noreply, keeper}

  defp initialise(keeper) do
    with {:error, text} <- run(keeper, :init, [keeper.specification.config]),
         do: {:error, Error.new(:provider, text)}
  end

  defp start_dispatcher(keeper, state) do
    Dispatcher.start_link(keeper.config, keeper.specification.id, keeper.module, state)
  end

  defp serve(%{module: module} = keeper, dispatcher) do
    Router.serve_provider(
      keeper.config.router,
      keeper.specification,
      module.contracts(),
      module.max_calls(),
      dispatcher
    )
  end

  # A link that its provider cannot take must not keep it from serving the others, whatever the
  # provider does about it: hence nothing that it raises, throws or exits with goes further.
  defp run(keeper, callback, arguments) do
    case apply(keeper.module, callback, arguments) do
      {:ok, state} ->
        {:ok, state}

      {:error, text} when is_binary(text) ->
        {:error, text}

      _other ->
        {:error, "#{inspect(keeper.module)}.#{callback} gave neither {:ok, state} nor text"}
    end
  rescue
    exception -> {:error, Failure.locate(keeper.module, {exception, __STACKTRACE__})}
  catch
    :throw, value -> {:error, Failure.locate(keeper.module, {{:nocatch, value}, __STACKTRACE__})}
    :exit, reason -> {:error, Failure.locate(keeper.module, reason)}
  end

  defp fail(keeper, error) do
    send(keeper.report_to, {:exosuit_failed, self(), error})
    {:stop, :normal, keeper}
  end

  defp key(keeper), do: {:provider, keeper.specification.id}

  defp link({{actor, contract, name}, interfaces}, values) do
    %Link{actor: actor, contract: contract, name: name, interfaces: interfaces, values: values}
  end
end
