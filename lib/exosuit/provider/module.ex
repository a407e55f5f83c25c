defmodule Exosuit.Provider.Module do
  @moduledoc """
  The process of a provider in Elixir: runs `init/1`, and changes of links one after another.

      Module        init/1, put_link/2, delete_link/2
      ├── Health        asks at intervals (linked)
      └── Calls         a process for each call (linked)

  When it ends, `Exosuit.Provider.Calls` and the running calls end as well. The reconciler then starts it again, and the
  data plane gives it its links again.

  Slow callbacks of links delay other links, and no call. The data plane waits 30 s for each, then refuses the change.

  ## A change of a link

  The data plane asks this process, and adopts the change when the answer comes in time. `previous` has the links that a
  change replaced, until the next change, because the data plane may undo it.

  | the callback | then |
  |---|---|
  | `{:ok, state}` | the link and the state are in force; calls see them |
  | `{:error, text}` | nothing has changed; the caller that put the link gets the text |
  | raises, throws, exits, returns another value | refused; the old values are given again, or the link is deleted |
  | `{:ok, state}`, and the answer came too late | the same, by `{:exosuit_link_undo, number}` |
  | any result of `delete_link/2` | the link is gone |

  A crash of a callback is caught: it must not take the other links with it.

  Sends the same messages as `Exosuit.Provider.Builtin` to the process that started it.
  """

  use Exosuit.Server, restart: :temporary

  alias Exosuit.{Directory, Error, Instance, Model, Router}
  alias Exosuit.Model.ProviderSpecification
  alias Exosuit.Provider.{Calls, Failure, Health, Link}

  # No crash report shows the provider's configuration and state.
  @derive {Inspect, only: [:specification, :module]}
  @enforce_keys [:instance, :specification, :module, :report_to]
  defstruct [
    :instance,
    :specification,
    :module,
    :report_to,
    :dispatcher,
    :starting,
    :state,
    :native,
    links: %{},
    previous: %{}
  ]

  @doc "Starts the process, which runs `init/1` after this function has returned."
  @spec start_link({Instance.t(), ProviderSpecification.t(), nil, pid()}) :: GenServer.on_start()
  def start_link({instance, specification, nil, report_to}) do
    {:module, _name, module} = specification.artifact

    GenServer.start_link(__MODULE__, %__MODULE__{
      instance: instance,
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
      {:error, %Error{} = error} -> fail(keeper, :exosuit_failed, error)
      {:crashed, %Error{} = error} -> fail(keeper, :exosuit_crashed, error)
    end
  end

  # The provider serves, and has its links.
  @impl GenServer
  def handle_info({reference, {:ok, {native, refused}}}, %{starting: reference} = keeper) do
    facts = %{native: native, refused_links: refused, health: watch_health(keeper), healthy: nil}
    Directory.enter(keeper.instance.name, key(keeper), facts)
    send(keeper.report_to, {:exosuit_started, self(), nil})
    {:noreply, %{keeper | native: native, starting: nil}}
  end

  def handle_info({reference, {:error, failure}}, %{starting: reference} = keeper) do
    fail(keeper, :exosuit_failed, Error.from_native(failure))
  end

  def handle_info({:exosuit_link, question, {:put, number}, key, values}, keeper) do
    link = link(key, values)
    before = overlapped(keeper.links, key)

    case run(keeper, :put_link, & &1.put_link(link, keeper.state)) do
      {:ok, state} ->
        keeper = hold(%{keeper | state: state}, key, link)
        Router.answer(question, :ok, "")
        {:noreply, put_in(keeper.previous[key], {number, before})}

      {:error, text} ->
        Router.answer(question, :provider, text)
        {:noreply, keeper}

      # It is unknown what the callback did before it crashed.
      {:fallen, text} ->
        keeper = restore(keeper, key, link, before)
        Router.answer(question, :provider, text)
        {:noreply, keeper}
    end
  end

  # The data plane did not adopt the change, because the answer came too late for example.
  def handle_info({:exosuit_link_undo, number}, keeper) do
    case Enum.find(keeper.previous, &match?({_key, {^number, _before}}, &1)) do
      {key, {_number, before}} ->
        keeper = %{keeper | previous: Map.delete(keeper.previous, key)}
        {:noreply, restore(keeper, key, keeper.links[key], before)}

      nil ->
        {:noreply, keeper}
    end
  end

  # The link is removed even if the provider's callback fails.
  def handle_info({:exosuit_link, question, :delete, key, values}, keeper) do
    {code, text, keeper} = delete(keeper, key, link(key, values))
    Router.answer(question, code, text)
    {:noreply, keeper}
  end

  # An exit arrives as a message if the provider's code made this process trap exits.
  def handle_info({:EXIT, dispatcher, reason}, %{dispatcher: dispatcher} = keeper) do
    {:stop, reason, keeper}
  end

  # The same for the exit of the health process after failed checks.
  def handle_info({:EXIT, _process, {:shutdown, {:unhealthy, _error}} = reason}, keeper) do
    {:stop, reason, keeper}
  end

  # Messages of the provider's own processes.
  def handle_info(_message, keeper), do: {:noreply, keeper}

  # The check runs in another process: here it would wait for links, and its crash would end the provider.
  defp watch_health(%{module: module, dispatcher: dispatcher} = keeper) do
    Health.start_link(keeper.instance, keeper.specification, module.contracts(), fn ->
      state = Calls.state(dispatcher)
      if function_exported?(module, :health, 1), do: healthy(module, state), else: :ok
    end)
  end

  defp healthy(module, state) do
    case module.health(state) do
      :ok ->
        :ok

      {:error, text} when is_binary(text) ->
        {:error, Error.new(:provider, text)}

      _other ->
        {:error,
         Error.new(
           :provider,
           "expected #{inspect(module)}.health/1 to return :ok or {:error, text}"
         )}
    end
  rescue
    exception -> unwell(module, {exception, __STACKTRACE__})
  catch
    :throw, value -> unwell(module, {{:nocatch, value}, __STACKTRACE__})
    :exit, reason -> unwell(module, reason)
  end

  defp unwell(module, reason) do
    {:error, Error.new(:provider, Failure.locate(module, reason))}
  end

  defp initialise(keeper) do
    case run(keeper, :init, & &1.init(keeper.specification.config)) do
      {:ok, state} -> {:ok, state}
      {:fallen, text} -> {:crashed, Error.new(:provider, text)}
      {:error, text} -> {:error, Error.new(:provider, text)}
    end
  end

  # As in the data plane, a link replaces those of its name that it overlaps.
  defp overlapped(links, {name, interfaces}) do
    for {{^name, others}, link} <- links,
        Model.Link.overlap?(%{interfaces: interfaces}, %{interfaces: others}),
        do: {{name, others}, link}
  end

  defp hold(keeper, key, link) do
    gone = for {old, _link} <- overlapped(keeper.links, key), do: old
    :ok = Calls.put_link(keeper.dispatcher, key, link, keeper.state)
    links = keeper.links |> Map.drop(gone) |> Map.put(key, link)
    %{keeper | links: links, previous: Map.drop(keeper.previous, gone)}
  end

  defp restore(keeper, key, link, []) do
    {_code, _text, keeper} = delete(keeper, key, link)
    keeper
  end

  # The old values stay in force even if the provider's callback fails.
  defp restore(keeper, _key, _link, before) do
    Enum.reduce(before, keeper, fn {key, link}, keeper ->
      case run(keeper, :put_link, & &1.put_link(link, keeper.state)) do
        {:ok, state} -> hold(%{keeper | state: state}, key, link)
        {_refused_or_fallen, _text} -> hold(keeper, key, link)
      end
    end)
  end

  defp delete(keeper, key, link) do
    {code, text, state} =
      case run(keeper, :delete_link, & &1.delete_link(link, keeper.state)) do
        {:ok, state} -> {:ok, "", state}
        {_refused_or_fallen, text} -> {:provider, text, keeper.state}
      end

    :ok = Calls.delete_link(keeper.dispatcher, key, state)
    gone = for {old, _link} <- overlapped(keeper.links, key), do: old
    links = Map.drop(keeper.links, gone)

    {code, text,
     %{keeper | state: state, links: links, previous: Map.drop(keeper.previous, gone)}}
  end

  defp start_dispatcher(keeper, state) do
    Calls.start_link(keeper.instance, keeper.specification.id, keeper.module, state)
  end

  defp serve(%{module: module} = keeper, dispatcher) do
    Router.serve_provider(
      keeper.instance.router,
      keeper.specification,
      module.contracts(),
      module.max_calls(),
      dispatcher
    )
  end

  # A failing link must not keep the provider from serving the others, so raises, throws and exits are caught. An
  # error means that the provider changed nothing; after a crash that is unknown.
  defp run(keeper, callback, function) do
    case function.(keeper.module) do
      {:ok, state} ->
        {:ok, state}

      {:error, text} when is_binary(text) ->
        {:error, text}

      _other ->
        {:fallen,
         "expected #{inspect(keeper.module)}.#{callback} to return {:ok, state} or {:error, text}"}
    end
  rescue
    exception -> {:fallen, Failure.locate(keeper.module, {exception, __STACKTRACE__})}
  catch
    :throw, value -> {:fallen, Failure.locate(keeper.module, {{:nocatch, value}, __STACKTRACE__})}
    :exit, reason -> {:fallen, Failure.locate(keeper.module, reason)}
  end

  defp fail(keeper, how, error) do
    send(keeper.report_to, {how, self(), error})
    {:stop, :normal, keeper}
  end

  defp key(keeper), do: {:provider, keeper.specification.id}

  defp link({{actor, contract, name}, interfaces}, values) do
    %Link{actor: actor, contract: contract, name: name, interfaces: interfaces, values: values}
  end
end
