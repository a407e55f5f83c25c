defmodule Exosuit.Host.Links do
  @moduledoc """
  Pushes the links of a host to the router, which checks them.

  This process is the only writer of their table (`Exosuit.Host.LinkTable`), which belongs to the topmost supervisor. It
  never blocks: the router answers by message. Changes of one key run one after the other; changes of different keys
  run concurrently.

      put, delete, replace, retry, … of a key
            │  another change of the key runs: wait in its queue
            ▼
      prepare: the steps of the change (`Exosuit.Host.LinkChange`), from the links in force now
            ▼
      ask the router for one step ◄──┐
            ▼                        │ more steps
      note the answer in the table ──┘
            ▼
      answer the caller, begin the next change of the queue

  ## Invariants

  - A refused change changes nothing. A link enters the table once the router has it.
  - A put is noted in the table before the router is asked for it, and a deletion before it is carried out. A
    successor of this process compares the table with the router: it puts noted links again, and deletes links that
    are not in the table.
  - A change of settings keeps the binding of a link to a stopped actor: the router passes it on from the old link
    to the new one, and a change of a key deletes only the links that should go.
  - Two kinds of refused links are retried by `Exosuit.Retry` without end: links put with `:keep` (those of
    manifests and of the lattice), and links in force that a provider refused when it started. A refusal that cannot
    go away by itself is final, until the link or an end of it changes (`look/2`).

  ## When it crashes

  Callers of `put/3` and `delete/2` exit. Providers, actors and the reconciler restart as well (`Exosuit.Host`), and so
  does the replica, which calls `replace/4` again for each key. Retries of refused links begin at once, and their delays
  from the start.

  ## Bounds

  The queue of a key has one entry for each request that waits: one for each calling process, one for each change of a
  record of the lattice, and one for each link that is retried. The router limits the time of each step, so that a
  provider that does not answer delays only changes of its own key, and those for a bounded time.

  ## Messages

  Answers `replace/4` with `{:exosuit_links, reference, report}`, see `Exosuit.Host.LinkChange.report/1`.
  """

  use Exosuit.Server, hides_state: true

  alias Exosuit.{Directory, Error, Event, Instance, Lattice, Retry, Router}
  alias Exosuit.Host.{LinkChange, LinkTable}
  alias Exosuit.Model.Link

  @enforce_keys [:instance]
  defstruct [:instance, running: %{}, asked: %{}, queues: %{}, retries: %{}, unseen: MapSet.new()]

  @doc """
  Starts the writer. It compares its table with the router's before it takes the first request.
  """
  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Makes a link, and replaces links of its key that overlap it. A refusal changes nothing. With `:keep`, a
  refused link is retried, unless the refusal is final. The calling process waits for the providers; the
  router limits the time of each.

  Only `Exosuit.Host.Linking` calls this directly, for provisional links: all other links come from the lattice's
  records (`replace/4`).
  """
  @spec put(Instance.t(), Link.t(), :strict | :keep) :: :ok | {:error, Error.t()}
  def put(instance, link, mode \\ :strict), do: call(instance, {:put, link, mode})

  @doc """
  Removes the links of a key, and returns them; the next call through them is refused. Refused links of the key are
  not retried any more. `:not_found` if there is none.
  """
  @spec delete(Instance.t(), Link.key()) :: {:ok, [Link.t()]} | {:error, Error.t()}
  def delete(instance, key), do: call(instance, {:delete, key})

  @doc """
  Replaces all links of a key by these. Does not block: the calling process receives the changed and the
  refused links under the reference. The link that a refused one would replace stays in force.

  - `hint`: `app` and `outlives` are not shared in the lattice; they are copied from this link, or from the existing
    links
  - `missing`: links that cannot be in force, each with the name of a configuration that does not exist. They are
    shown as refused, and stay bound to the code that they are bound to, until a later call has them among `links`
  - `mode`: with `:keep`, the default, a refused link is retried
  """
  @spec replace(Instance.t(), Link.key(), [Link.t()],
          hint: Link.t() | nil,
          missing: [{Link.t(), String.t()}],
          mode: :strict | :keep
        ) :: reference()
  def replace(instance, key, links, options \\ []) do
    reference = make_ref()
    cast(instance, {:replace, key, {links, options}, {self(), reference}})
    reference
  end

  @doc """
  Reads the links that the router has refused since a provider started, and retries refused links with one of
  these changed ends. Does not block.

  The reconciler calls it after each start and each update, with the id and the public key of the item. Links whose
  configuration is missing are not retried: `replace/4` brings them when the configuration exists.
  """
  @spec look(Instance.t(), [String.t()]) :: :ok
  def look(instance, ends), do: cast(instance, {:look, ends})

  @doc "The links of a key that are in force."
  @spec fetch(Instance.t(), Link.key()) :: [Link.t()]
  def fetch(instance, key), do: LinkTable.fetch(instance.tables.links, key)

  @doc "An empty table, see `Exosuit.Host.LinkTable`."
  @spec table() :: :ets.table()
  def table, do: LinkTable.new()

  @doc "All links in force."
  @spec list(Instance.t()) :: [Link.t()]
  def list(instance), do: LinkTable.list(instance.tables.links)

  @doc "The links that are wanted and not in force, including those whose refusal is final."
  @spec refused(Instance.t()) :: [Link.t()]
  def refused(instance) do
    for {link, _error, _at} <- LinkTable.refusals(instance.tables.links), do: link
  end

  @doc """
  All links with their status, including refused ones. Reads the link table and the router's; needs no process.
  """
  @spec statuses(Instance.t()) :: [LinkTable.status()]
  def statuses(instance) do
    LinkTable.statuses(instance.tables.links, Router.link_states(instance.router), now())
  end

  @impl GenServer
  def init(instance), do: {:ok, %__MODULE__{instance: instance}, {:continue, :reconcile}}

  @impl GenServer
  def handle_continue(:reconcile, state) do
    table = table(state)
    pending = LinkTable.pending(table)
    held = LinkTable.list(table)
    known = MapSet.new(held ++ pending, &{Link.key(&1), &1.target, &1.interfaces})

    ghosts =
      for {{key, _target, _interfaces} = it, _state} <- Router.link_states(state.instance.router),
          it not in known,
          uniq: true,
          do: key

    state = Enum.reduce(ghosts, state, &enqueue(&2, &1, :revoke, nil))
    again = held |> Enum.map(&Link.key/1) |> Enum.uniq()
    state = Enum.reduce(again, state, &enqueue(&2, &1, :again, nil))
    state = Enum.reduce(pending, state, &enqueue(&2, Link.key(&1), {:put, &1, mode(&1)}, nil))
    refused = for {link, _error, at} <- LinkTable.refusals(table), at, do: LinkTable.id(link)
    {:noreply, Enum.reduce(refused, state, &retry(&2, &1))}
  end

  @impl GenServer
  def handle_call({:put, link, mode}, from, state) do
    {:noreply, enqueue(state, Link.key(link), {:put, link, mode}, {:call, from})}
  end

  def handle_call({:delete, key}, from, state) do
    {:noreply, enqueue(state, key, :delete, {:call, from})}
  end

  @impl GenServer
  def handle_cast({:replace, key, wanted, {pid, reference}}, state) do
    {:noreply, enqueue(state, key, {:replace, wanted}, {:message, pid, reference})}
  end

  def handle_cast({:look, ends}, state) do
    ids =
      for {link, error, _at} <- LinkTable.refusals(table(state)),
          not LinkTable.missing?(error),
          link.source in ends or link.target in ends,
          do: LinkTable.id(link)

    {:noreply, Enum.reduce(ids, look_at_router(state), &retry(&2, &1))}
  end

  @impl GenServer
  def handle_info({reference, result}, state) when is_map_key(state.asked, reference) do
    {key, asked} = Map.pop!(state.asked, reference)
    {:noreply, answered(%{state | asked: asked}, key, Router.answered(result))}
  end

  def handle_info({:retry, id, number}, state) do
    case state.retries do
      %{^id => {%{failures: ^number}, _timer}} -> {:noreply, retry(state, id)}
      %{} -> {:noreply, state}
    end
  end

  defp call(instance, request) do
    GenServer.call(Directory.via(instance.name, __MODULE__), request, :infinity)
  end

  defp cast(instance, request) do
    GenServer.cast(Directory.via(instance.name, __MODULE__), request)
  end

  defp table(state), do: state.instance.tables.links

  defp now, do: System.monotonic_time(:millisecond)

  # A manifest wants the links of its application. For other links it is unknown whether they are still wanted.
  defp mode(%Link{app: nil}), do: :strict
  defp mode(_link), do: :keep

  # Changes of a key run one at a time.
  defp enqueue(state, key, request, from) do
    if is_map_key(state.running, key) do
      update_in(state.queues[key], &:queue.in({request, from}, &1 || :queue.new()))
    else
      begin(state, key, request, from)
    end
  end

  defp begin(state, key, request, from) do
    {state, change} = prepare(state, key, request)
    advance(put_in(state.running[key], %{change | from: from}), key)
  end

  # The steps of a change, from the links in force when it begins.
  defp prepare(state, _key, {:put, link, mode}), do: {state, LinkChange.new([{:put, link}], mode)}
  defp prepare(state, key, :again), do: {state, LinkChange.new(puts(state, key), :keep)}

  defp prepare(state, _key, {:retry, id}) do
    case LinkTable.refusal(table(state), id) do
      {link, error, _at} ->
        steps = if LinkTable.missing?(error), do: [], else: [{:put, link}]
        {state, LinkChange.new(steps, :keep)}

      nil ->
        {state, LinkChange.new([], :keep)}
    end
  end

  # Deletes links of the key that the router has and the table lacks.
  defp prepare(state, key, :revoke),
    do:
      {state,
       LinkChange.new(
         [{:delete, held(state, key), refused(state, key)} | puts(state, key)],
         :keep
       )}

  # The table is changed first, because the links are not wanted from now on.
  defp prepare(state, key, :delete) do
    held = held(state, key)

    others =
      Enum.reject(refused(state, key), fn link -> Enum.any?(held, &Link.overlap?(&1, link)) end)

    {strike(state, key),
     %{LinkChange.new([{:delete, [], []}], :strict) | deleted: held ++ others}}
  end

  defp prepare(state, key, {:replace, {wanted, options}}) do
    before = held(state, key)
    known = List.wrap(options[:hint]) ++ before ++ refused(state, key)
    wanted = Enum.map(wanted, &with_app(&1, known))
    missing = for {link, name} <- options[:missing] || [], do: {with_app(link, known), name}
    gone = Enum.reject(before, fn old -> Enum.any?(wanted, &follows?(&1, old)) end)
    stay = before -- gone
    unwanted? = Enum.any?(refused(state, key), &(&1 not in wanted))
    state = state |> drop_refusals(key, wanted) |> withhold(missing)

    # Links that stay are not made again. A refused link is made again if this change puts it.
    LinkTable.keep(table(state), key, stay)
    again = if options[:hint], do: Enum.filter(stay, &(&1 in refused(state, key))), else: []
    puts = again ++ (wanted -- stay)
    withheld = puts ++ for {link, _name} <- missing, do: link
    first = if gone != [] or missing != [] or unwanted?, do: [{:delete, stay, withheld}], else: []
    steps = first ++ for link <- puts, do: {:put, link}
    change = LinkChange.new(steps, options[:mode] || :keep)
    {state, %{change | deleted: gone, before: before}}
  end

  # Shown as refused, and not retried: the replica reports when the configuration exists.
  defp withhold(state, missing) do
    for {link, name} <- missing, reduce: state do
      state ->
        state = forget_overlapped(state, link)
        error = Error.new(:not_found, "there is no configuration #{inspect(name)}")
        LinkTable.refuse(table(state), link, error, nil)
        state
    end
  end

  defp refused(state, key) do
    for {link, _error, _at} <- LinkTable.refusals(table(state), key), do: link
  end

  defp puts(state, key) do
    for link <- held(state, key), do: {:put, link}
  end

  defp held(state, key), do: LinkTable.fetch(table(state), key)

  defp advance(state, key) do
    case state.running[key] do
      %{steps: []} = change -> state |> finish(key, change) |> next(key)
      %{steps: [step | _later]} -> ask(state, key, step)
    end
  end

  defp ask(state, key, step) do
    case perform(state, key, step) do
      {:ok, reference} -> put_in(state.asked[reference], key)
      {:error, error} -> answered(state, key, {:error, error})
    end
  end

  defp perform(state, _key, {:put, link}) do
    LinkTable.propose(table(state), link)
    Router.ask_put(state.instance.router, link)
  end

  defp perform(state, key, {:delete, stay, withheld}) do
    with :ok <- Router.withhold_links(state.instance.router, key, withheld),
         do: Router.ask_delete(state.instance.router, key, stay)
  end

  defp answered(state, key, result) do
    %{steps: [step | _later]} = change = state.running[key]
    state = put_in(state.running[key], LinkChange.taken(change, result))
    state |> note(step, result, change) |> advance(key)
  end

  defp note(state, {:delete, _stay, _withheld}, _result, _change), do: state

  defp note(state, {:put, link}, {:ok, _none}, _change) do
    LinkTable.hold(table(state), link)
    forget_overlapped(state, link)
  end

  defp note(state, {:put, link}, {:error, error}, change) do
    LinkTable.settle(table(state), Link.key(link))
    if keep?(state, link, change), do: refuse(state, link, error), else: state
  end

  # Whether a refused link stays wanted: yes, if it was in force or wanted before. A link of the lattice is wanted
  # until its record changes.
  defp keep?(state, link, %{mode: mode}) do
    link in held(state, Link.key(link)) or
      match?({^link, _error, _at}, LinkTable.refusal(table(state), LinkTable.id(link))) or
      mode == :keep
  end

  defp finish(state, _key, %{from: nil}), do: state

  defp finish(state, _key, %{from: {:message, pid, reference}} = change) do
    send(pid, {:exosuit_links, reference, LinkChange.report(change)})
    state
  end

  defp finish(state, key, %{from: {:call, from}} = change) do
    GenServer.reply(from, LinkChange.reply(change, key))
    state
  end

  defp next(state, key) do
    state = %{state | running: Map.delete(state.running, key)}

    case Map.pop(state.queues, key) do
      {nil, _queues} ->
        look_again(state, key)

      {queue, queues} ->
        {{:value, {request, from}}, queue} = :queue.out(queue)
        queues = if :queue.is_empty(queue), do: queues, else: Map.put(queues, key, queue)
        begin(%{state | queues: queues}, key, request, from)
    end
  end

  defp retry(state, {key, _interfaces} = id), do: enqueue(state, key, {:retry, id}, nil)

  # The inventory shows the time of the retry while the link waits.
  defp refuse(state, link, error) do
    id = LinkTable.id(link)
    state = forget_others(state, link)

    if LinkTable.final?(error) do
      LinkTable.refuse(table(state), link, error, nil)
      forget_timer(state, id)
    else
      {retry, _timer} = Map.get(state.retries, id, {Retry.new(), nil})
      {delay, retry} = Retry.failed(retry, now())
      LinkTable.refuse(table(state), link, error, now() + delay)
      if Retry.turned_slow?(retry), do: tell_slow(state, link, error, delay)
      timer = Process.send_after(self(), {:retry, id, retry.failures}, delay)
      put_in(state.retries[id], {retry, timer})
    end
  end

  defp tell_slow(state, link, error, delay) do
    failure = %{reason: error.reason, error: Exception.message(error), after_ms: delay}
    fields = link |> Link.public() |> Map.merge(failure) |> Map.put(:role, :link)
    Lattice.announce(state.instance, Event.RetrySlow.new(fields))
  end

  # If links overlap, only the new one is wanted.
  defp forget_others(state, link) do
    id = LinkTable.id(link)

    for {other, _error, _at} <- LinkTable.refusals(table(state), Link.key(link)),
        LinkTable.id(other) != id and Link.overlap?(other, link),
        reduce: state,
        do: (state -> forget(state, LinkTable.id(other)))
  end

  defp forget_overlapped(state, link) do
    state |> forget_others(link) |> forget(LinkTable.id(link))
  end

  defp drop_refusals(state, key, wanted) do
    for {link, _error, _at} <- LinkTable.refusals(table(state), key),
        link not in wanted,
        reduce: state,
        do: (state -> forget(state, LinkTable.id(link)))
  end

  defp strike(state, key) do
    state = drop_refusals(state, key, [])
    LinkTable.strike(table(state), key)
    state
  end

  defp forget(state, id) do
    LinkTable.accept(table(state), id)
    forget_timer(state, id)
  end

  defp forget_timer(state, id) do
    {found, retries} = Map.pop(state.retries, id)
    with {_retry, timer} <- found, do: Process.cancel_timer(timer)
    %{state | retries: retries}
  end

  # The router knows which links a provider refused when it started, and which it accepted since.
  defp look_at_router(state) do
    look_at_links(state, LinkTable.list(table(state)))
  end

  # Reads the links of a key that was being changed while the others were read.
  defp look_again(state, key) do
    if key in state.unseen do
      unseen = MapSet.delete(state.unseen, key)
      look_at_links(%{state | unseen: unseen}, held(state, key))
    else
      state
    end
  end

  defp look_at_links(state, links) do
    states = Router.link_states(state.instance.router)
    {later, now} = Enum.split_with(links, &is_map_key(state.running, Link.key(&1)))
    state = %{state | unseen: Enum.into(later, state.unseen, &Link.key/1)}

    for link <- now, reduce: state do
      state -> look_at(state, link, states[{Link.key(link), link.target, link.interfaces}])
    end
  end

  defp look_at(state, link, router_state) do
    refusal = LinkTable.refusal(table(state), LinkTable.id(link))

    case {router_state, refusal} do
      {{:refused, error}, nil} -> refuse(state, link, error)
      {good, {^link, _error, _at}} when is_atom(good) -> forget(state, LinkTable.id(link))
      _as_it_was -> state
    end
  end

  defp with_app(%{app: nil} = link, known) do
    case Enum.find(known, &({&1.target, &1.interfaces} == {link.target, link.interfaces})) do
      nil -> link
      same -> %{link | app: same.app, outlives: same.outlives}
    end
  end

  defp with_app(link, _known), do: link

  defp follows?(link, other), do: link.target == other.target and Link.overlap?(link, other)
end
