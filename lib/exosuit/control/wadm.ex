defmodule Exosuit.Control.Wadm do
  @moduledoc """
  Answers the API of wadm from the applications of the lattice, for tools that were made for wadm.

      Wadm (rest_for_one)
      ├── Anchor     ends with the registry, so that the names of the others come back
      ├── Commands   a task for each running request, up to a limit
      ├── Listener   receives requests, and gives way to a wadm
      └── Publisher  publishes the status of each application

  Hosts with the option `:wadm_api` share the queue group of wadm, so one of them answers each request. A wadm takes
  requests from the same group. While a wadm runs in the lattice, the hosts do not answer, and `check/2` refuses the
  start of a further host with this option. `Exosuit.Protocol.Wadm` has the forms of requests and replies.
  `guides/control-interface.md` describes the result.
  """
  use Supervisor

  alias Exosuit.{Config, Directory, Error, Instance}
  alias Exosuit.Control.Wadm.{Listener, Probe, Publisher}
  alias Exosuit.Lattice.Session

  # A task that has answered may still be ending when the next one starts. Two more places are for the probe and the
  # publisher.
  @tasks 2 * Listener.max_running() + 2

  # Repeated crashes must not end the host.
  @restarts 1_000

  @doc "Starts nothing unless the host's options ask for it."
  @spec start_link(Instance.t()) :: Supervisor.on_start() | :ignore
  def start_link(%Instance{config: %{wadm_api: false}}), do: :ignore
  def start_link(instance), do: Supervisor.start_link(__MODULE__, instance)

  @doc """
  Refuses the start of a host that should answer the API if a wadm answers it already. Waits for the first attempt
  to connect. Without a connection, the host starts.
  """
  @spec check(Config.t(), Session.t()) :: :ok | {:error, Error.t()}
  def check(%Config{wadm_api: true} = config, %Session{} = session) do
    Session.await_first(session, config)

    case Probe.run(session, config.lattice) do
      :wadm ->
        {:error,
         Error.new(
           :conflict,
           "a wadm answers wadm.api.#{config.lattice} already: stop it, or start this host without wadm_api " <>
             "(--wadm-api, EXOSUIT_WADM_API)"
         )}

      _nobody_or_unknown ->
        :ok
    end
  end

  def check(_config, _session), do: :ok

  @impl Supervisor
  def init(instance) do
    tasks = Directory.via(instance.name, :wadm_requests)

    children = [
      {Directory.Anchor, {instance.name, :wadm_anchor}},
      {Task.Supervisor, name: tasks, max_children: @tasks},
      {Listener, {instance, tasks, Publisher.name(instance)}},
      {Publisher, {instance, tasks}}
    ]

    Supervisor.init(children, strategy: :rest_for_one, max_restarts: @restarts)
  end
end
