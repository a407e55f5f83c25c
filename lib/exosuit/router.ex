defmodule Exosuit.Router do
  @moduledoc """
  The data plane's table of one host: its actors, providers and links.

  The control plane writes the table with these functions. Rust checks every invocation, from this host or another,
  against it (`native/exosuit_router`). The table belongs to the host's topmost supervisor, as a handle in its
  `Exosuit.Instance`; entries of running actors and providers live as long as the processes that made them.

  ## The life of an actor's entry

      specify/2 ─────► calls wait ── publish/5 ─────► open ── the process ends ──► calls wait
                          │   ▲                        │
                  fail/3  ▼   │ publish/5              ├─ publish/5 again, supersede/2: new code beside old code
                       calls are refused               ├─ retire/4: gone, running calls finish
                                                       └─ forget/2: gone, running calls are dropped

  A waiting call waits for the host's `:restart_wait` at most.

  ## Waiting

  | functions | wait for |
  |---|---|
  | `specify`, `forget`, `retire`, `fail`, `publish`, `supersede`, `bind_links`, `free_links`, `know`, … | nothing |
  | `ask_put`, `ask_delete`, `serve_provider` | nothing: the answer is a message |
  | `rehearse`, `health`, `rehearse_provider` | Rust, for a bounded time |
  | `start_provider`, `check_link` | Rust, which bounds the time for each link |
  | `drain` | running calls, for the given time |

  `start_provider` changes the table, and has no timeout of its own: if it stopped waiting, the outcome would be
  unknown. Each function returns an error from Rust as `t:Exosuit.Error.t/0`.
  """

  alias Exosuit.{Config, Error, Native}
  alias Exosuit.Model.{ActorSpecification, Artifact, Link, ProviderSpecification}
  alias Exosuit.Native.Answer

  @typedoc "The handle of the table."
  @type t :: reference()
  @typedoc """
  The claims of an actor: public key, issuer, call alias, capabilities, Unix time of expiry.
  """
  @type identity :: %{
          public_key: String.t() | nil,
          issuer: String.t() | nil,
          call_alias: String.t() | nil,
          capabilities: [String.t()] | :links,
          expires_at: non_neg_integer() | nil
        }
  @typedoc """
  `contracts`: the older one first. `listens`: whether it calls actors with requests or messages from outside.
  """
  @type builtin :: %{name: String.t(), contracts: [String.t()], listens: boolean()}
  @typedoc "`:ok`, or the error of the data plane. An error changes nothing."
  @type result :: :ok | {:error, Error.t()}

  @typedoc """
  The state of each link in the table. `:waiting`: one of its ends does not run on this host.
  """
  @type link_states :: %{
          optional({Link.key(), target :: String.t(), interfaces :: [String.t()]}) =>
            :in_force | :waiting | {:refused, Error.t()}
        }

  # The time of the data plane beyond the time in which calls may finish.
  @drain_margin 30_000

  # A rehearsal may wait for a file system, for example, besides the guest. Its answer changes nothing, so a timeout
  # is safe.
  @rehearsal_margin 30_000

  @doc """
  An empty table, with the host's limits of depth and waiting, its map of HTTP ports, and its preference for local
  targets. In tests, the clock and the random numbers of guests are simulated.
  """
  @spec new(Config.t()) :: t()
  def new(config) do
    router =
      Native.host_new(
        config.max_depth,
        config.restart_wait,
        config.local_first,
        config.http_ports
      )

    if simulation = config.simulation,
      do: Native.host_simulate(router, simulation[:clock], simulation[:seed])

    router
  end

  @doc "Sends notices to `pid`, as `{:exosuit_notice, notice}`."
  @spec observe(t(), pid()) :: :ok
  def observe(router, pid), do: Native.host_observe(router, pid)

  @doc """
  Takes no new calls and waits for the running ones. Blocks the calling process for `timeout` milliseconds at most;
  then the remaining calls are dropped. There is no way back.
  """
  @spec drain(t(), non_neg_integer()) :: result()
  def drain(router, timeout) do
    (&Native.host_drain(router, timeout, &1)) |> Answer.await(timeout + @drain_margin) |> done()
  end

  @doc """
  Makes the actor's entry, or changes its limits: calls to it wait until it is published. Running calls continue, also
  beyond a smaller number of instances.
  """
  @spec specify(t(), ActorSpecification.t()) :: result()
  def specify(router, %{limits: limits} = actor) do
    %{id: id, instances: instances} = actor
    specify = fn -> Native.actor_specify(router, id, instances, limits.queue, limits.deadline) end
    specify |> Answer.checked() |> done()
  end

  @doc "Removes the actor's entry, and drops its running calls."
  @spec forget(t(), String.t()) :: result()
  def forget(router, id), do: done(Answer.checked(fn -> Native.actor_forget(router, id) end))

  @doc """
  Removes the actor's entry: no new call reaches it. Its process, which must live until then, is sent
  `{reference, {:ok, _}}` when the running calls have finished, or `drain_timeout` milliseconds
  later, when the rest of them is dropped.
  """
  @spec retire(t(), String.t(), non_neg_integer(), {pid(), reference()}) :: result()
  def retire(router, id, drain_timeout, {_process, _reference} = reply) do
    router |> Native.actor_retire(id, drain_timeout, reply) |> done()
  end

  @doc "Marks the actor as not starting: calls to it are refused at once, until it is published."
  @spec fail(t(), String.t(), Error.t()) :: result()
  def fail(router, id, error) do
    done(Answer.checked(fn -> Native.actor_fail(router, id, reason(error)) end))
  end

  @doc """
  Opens the actor's entry to calls for as long as the calling process lives.

  When the process ends, its running calls are dropped, and later ones wait for the next one. Links
  that are bound to another lineage have no effect from then on. A refusal changes nothing.
  """
  @spec publish(t(), ActorSpecification.t(), reference(), identity(), lineage :: String.t()) ::
          {:ok, reference()} | {:error, Error.t()}
  def publish(router, actor, module, identity, lineage) do
    settings = settings(actor)
    identity = Map.put(identity, :settings, fingerprint(settings))

    publish = fn ->
      Native.actor_publish(router, {actor.id, lineage}, module, identity, settings)
    end

    case Answer.checked(publish) do
      {:ok, publication} -> {:ok, publication}
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc """
  Tests whether an actor can start: makes it with its limits and grants, instantiates it once, and drops it without a
  call. Blocks the calling process, for at most `timeout` milliseconds.
  """
  @spec rehearse(t(), ActorSpecification.t(), reference(), pos_integer()) :: result()
  def rehearse(router, actor, module, timeout) do
    (&Native.actor_rehearse(router, actor.id, module, settings(actor), timeout, &1))
    |> Answer.await(timeout + @rehearsal_margin)
    |> done()
  end

  @doc """
  Ends a publication after another one of the same actor has replaced it: when its calls have finished, or
  after `drain_timeout` milliseconds, which drops the remaining calls. Does not block.
  """
  @spec supersede(reference(), non_neg_integer()) :: :ok
  def supersede(publication, drain_timeout),
    do: Native.actor_supersede(publication, drain_timeout)

  @doc "The built-in provider of this name or reference."
  @spec fetch_builtin(String.t()) :: {:ok, builtin()} | {:error, Error.t()}
  def fetch_builtin(reference) do
    with {:error, failure} <- Native.provider_builtin(reference),
         do: {:error, Error.from_native(failure)}
  end

  @doc """
  The key, `V…`, that links may know the provider by: the same on every host that runs it. It is made of the reference
  and the id, and has no seed.
  """
  @spec provider_key(ProviderSpecification.t()) :: String.t()
  def provider_key(provider) do
    Native.provider_key(Artifact.reference(provider.artifact), provider.id)
  end

  @doc """
  Starts a built-in provider, which lives as long as the calling process. Blocks that process until the
  provider has its links; the data plane limits the time for each link.

  `{:ok, {provider, failures}}` has the errors of links that the provider could not take, as texts.
  """
  @spec start_provider(t(), ProviderSpecification.t(), Path.t() | nil) ::
          {:ok, {reference(), [String.t()]}} | {:error, Error.t()}
  def start_provider(router, %{artifact: {:builtin, name}} = provider, data_dir) do
    Answer.await(
      &Native.provider_start(router, names(provider), name, provider.config, data_dir, &1),
      :infinity
    )
  end

  @doc """
  Checks other settings of a running provider, as far as possible without a start. Blocks the calling
  process.
  """
  @spec rehearse_provider(t(), ProviderSpecification.t(), Path.t() | nil) :: result()
  def rehearse_provider(router, %{artifact: {:builtin, name}} = provider, data_dir) do
    (&Native.provider_rehearse(router, names(provider), name, provider.config, data_dir, &1))
    |> Answer.await(@rehearsal_margin)
    |> done()
  end

  def rehearse_provider(_router, _module, _data_dir), do: :ok

  @doc """
  Starts a provider whose calls go to `dispatcher` as messages, `max_calls` at a time, and whose links go to the
  calling process. The provider lives as long as the calling process. Does not wait, because the calling process gets
  the links first, and then `{reference, {:ok, {provider, failures}} | {:error, failure}}`.

  ## Messages

  - `{:exosuit_invoke, {number, question}, key, operation, payload, milliseconds, within}` and, when the answer is not
    needed any more, `{:exosuit_cancel, number}`. `within` is the guest's call that it is part of, see
    `Exosuit.Origin`; 0 for none
  - `{:exosuit_drop, {number, question}, key, type, state, milliseconds}` when a resource has ended; its type may be
    `nil`
  - `{:exosuit_link, question, :put | :delete, key, values}`

  `key` is `{{actor, contract, name of the link}, interfaces}`, and `payload` a binary or a list of
  arguments; each question wants `answer/3` or, for arguments, `return/2`.
  """
  @spec serve_provider(t(), ProviderSpecification.t(), [String.t()], pos_integer(), pid()) ::
          {:ok, reference()} | {:error, Error.t()}
  def serve_provider(router, provider, contracts, max_calls, dispatcher) do
    reference = make_ref()
    reply = {self(), reference}

    names = names(provider)

    serve = fn ->
      Native.provider_serve(router, names, contracts, max_calls, dispatcher, reply)
    end

    case Answer.checked(serve) do
      :ok -> {:ok, reference}
      {:error, failure} -> {:error, Error.from_native(failure)}
    end
  end

  @doc """
  Answers a question: `:ok` with bytes, or a reason with its text. Returns false if it was answered before.
  """
  @spec answer(reference(), :ok | Error.reason(), binary()) :: boolean()
  def answer(question, code, bytes), do: Native.provider_reply(question, code, bytes)

  @doc """
  Answers a call of a WIT function with its result. Returns false if it was answered before. If the term does
  not fit the function's type, returns an error, and the call is still unanswered.
  """
  @spec return(reference(), term()) :: boolean() | {:error, Error.t()}
  def return(question, value) do
    case Native.provider_return(question, value) do
      :large -> returned(Native.provider_return_large(question, value))
      answer -> returned(answer)
    end
  end

  defp returned(answer) do
    with {:error, failure} <- answer, do: {:error, Error.from_native(failure)}
  end

  @doc """
  Runs the health check of a built-in provider. Blocks the calling process for at most the given number of
  milliseconds.
  """
  @spec health(reference(), pos_integer()) :: result()
  def health(provider, timeout) do
    (&Native.provider_health(provider, timeout, &1)) |> Answer.await(2 * timeout) |> done()
  end

  @doc """
  The addresses at which a provider listens, as texts for people. Empty for one that does not listen.
  """
  @spec endpoints(reference()) :: [String.t()]
  def endpoints(provider), do: Native.provider_endpoints(provider)

  @doc """
  Requests a link, or a change of one. Does not block: the calling process receives `{reference, result}`,
  which `answered/1` decodes.

  The answer always comes and is final. The data plane enforces the time limits, and undoes a change that
  exceeds them.
  """
  @spec ask_put(t(), Link.t()) :: {:ok, reference()} | {:error, Error.t()}
  def ask_put(router, link), do: ask(&Native.link_put(router, native(link), &1))

  @doc """
  Deletes the links of a key: the next call is refused. The answer comes as for `ask_put/2`, with the number of
  links, when their providers have released them. Cancels earlier puts of the key.
  The links in `stay` remain, with their bindings.
  """
  @spec ask_delete(t(), Link.key(), stay :: [Link.t()]) ::
          {:ok, reference()} | {:error, Error.t()}
  def ask_delete(router, key, stay \\ []) do
    stay = for link <- stay, do: {link.target, link.interfaces}
    ask(&Native.link_delete(router, key, stay, &1))
  end

  @doc "Decodes the answer to `ask_put/2` or `ask_delete/2`."
  @spec answered({:ok, term()} | {:error, term()}) :: {:ok, term()} | {:error, Error.t()}
  def answered({:ok, value}), do: {:ok, value}
  def answered({:error, failure}), do: {:error, Error.from_native(failure)}

  @doc "Whether a link would be made now. Changes nothing. Blocks the calling process."
  @spec check_link(t(), Link.t()) :: result()
  def check_link(router, link) do
    (&Native.link_check(router, native(link), &1)) |> Answer.await(:infinity) |> done()
  end

  @doc """
  Binds links to the lineage of an actor at one end, when the actor is stopped for good. Code of another lineage that is
  later published under the id does not inherit them.
  """
  @spec bind_links(t(), String.t(), [Link.key()]) :: result()
  def bind_links(router, actor, keys),
    do: done(Answer.checked(fn -> Native.link_bind(router, actor, keys) end))

  @doc "Unbinds the links of a key, so that they apply to the code that runs at their ends now."
  @spec free_links(t(), Link.key()) :: result()
  def free_links(router, key), do: done(Answer.checked(fn -> Native.link_free(router, key) end))

  @doc """
  Says which links of a key have no effect for now and come back. Call it before they are deleted: their
  bindings are kept, and change with their actors, until they are put again or no longer among these.
  """
  @spec withhold_links(t(), Link.key(), [Link.t()]) :: result()
  def withhold_links(router, key, links) do
    links = for link <- links, do: {link.target, link.interfaces}
    done(Answer.checked(fn -> Native.link_withhold(router, key, links) end))
  end

  @doc "The state of each link, by key, target and interfaces."
  @spec link_states(t()) :: link_states()
  def link_states(router) do
    Map.new(Native.link_states(router), fn {key, target, interfaces, state} ->
      {{key, target, interfaces}, state(state)}
    end)
  end

  @doc "The public key of a provider that goes by the name in its reference."
  @spec reference_key(String.t()) :: String.t()
  def reference_key(reference) do
    Native.provider_key(reference, reference |> String.split("://", parts: 2) |> List.last())
  end

  @doc """
  Stores the claims of an actor of another host, by its public key. This host then knows its alias, and checks
  its calls by its claims. The router keeps a bounded number.
  """
  @spec know(t(), String.t(), identity()) :: result()
  def know(router, public_key, identity) do
    identity = Map.put(identity, :settings, "")
    done(Answer.checked(fn -> Native.claims_know(router, public_key, identity) end))
  end

  @doc "Forgets the claims of an actor of another host."
  @spec forget_known(t(), String.t()) :: result()
  def forget_known(router, public_key),
    do: done(Answer.checked(fn -> Native.claims_forget(router, public_key) end))

  @doc "The warnings about the links of a key: settings and names without effect, as texts."
  @spec link_warnings(t(), Link.key()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def link_warnings(router, key) do
    with {:error, failure} <- Native.link_warnings(router, key),
         do: {:error, Error.from_native(failure)}
  end

  defp native(link) do
    {link.source, link.target, link.name, Link.contract(link), link.interfaces,
     link.source_config, link.target_config}
  end

  defp ask(question) do
    reference = make_ref()

    with {:error, failure} <- question.({self(), reference}),
         do: {:error, Error.from_native(failure)},
         else: (:ok -> {:ok, reference})
  end

  defp state({:refused, failure}), do: {:refused, Error.from_native(failure)}
  defp state(state), do: state

  defp settings(actor), do: Map.take(actor, [:limits, :warm, :config, :grants])

  # A hash: equal for equal settings, and without secrets.
  defp fingerprint(settings) do
    :sha256 |> :crypto.hash(:erlang.term_to_binary(settings, [:deterministic])) |> Base.encode16()
  end

  defp names(provider), do: {provider.id, provider_key(provider)}

  # The caller's error says itself that the actor is unavailable.
  defp reason(%Error{reason: :unavailable, detail: detail}), do: detail
  defp reason(error), do: Exception.message(error)

  defp done(:ok), do: :ok
  defp done({:ok, _value}), do: :ok
  defp done({:error, %Error{}} = error), do: error
  defp done({:error, failure}), do: {:error, Error.from_native(failure)}
end
