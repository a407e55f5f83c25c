defmodule Exosuit.App.Work do
  @moduledoc """
  The tasks of a member, which wait for the store or a disk: the fetches and writes that `Exosuit.App.Machine` asks
  for, and the events that report their results to the machine.

      action ──of/2──► {purpose, function} ──task──► result ──event/2──► event

  The purpose stays with the member, and finds the event when the task has ended. If the task crashes, the member takes
  `{:error, error}` as its result. So each action is answered by exactly one event, as the machine expects.
  """

  alias Exosuit.App.{Machine, Model, Objects, Writes}
  alias Exosuit.{Error, Instance}
  alias Exosuit.Model.Digest

  @typedoc "The purpose of a task: the things that it fetches, or the key that it writes."
  @type purpose ::
          {:model, Digest.t()}
          | {:objects, String.t(), pos_integer(), [Digest.t()]}
          | {:written, Machine.key()}

  @doc "The purpose and the function of the task for an action. Does nothing by itself."
  @spec of(Machine.action(), Instance.t()) :: {purpose(), (() -> term())}
  def of({:fetch_model, digest}, instance) do
    {{:model, digest},
     fn -> with {:ok, text} <- Objects.fetch(instance, digest), do: Model.decode(text) end}
  end

  def of({:fetch_objects, app, version, digests}, instance),
    do: {{:objects, app, version, digests}, fn -> Objects.ensure(instance, digests) end}

  def of({:write_record, name, record, revision}, instance),
    do: {{:written, {:record, name}}, fn -> Writes.record(instance, name, record, revision) end}

  def of({:put_back, name, record, position}, instance),
    do: {{:written, {:record, name}}, fn -> Writes.put_back(instance, name, record, position) end}

  def of({:write_status, app, status}, instance),
    do: {{:written, {:status, app}}, fn -> Writes.status(instance, app, status) end}

  def of({:write_slots, app, slots, revision}, instance),
    do: {{:written, {:slots, app}}, fn -> Writes.slots(instance, app, slots, revision) end}

  def of({:write_lease, app, workload, lease, revision}, instance),
    do:
      {{:written, {:lease, app, workload}},
       fn -> Writes.lease(instance, app, workload, lease, revision) end}

  def of({:write_generation, old}, instance),
    do: {{:written, :generation}, fn -> Writes.generation(instance, old) end}

  @doc "The event of the machine for the result of a task. Events of leases lack the time, which the caller adds."
  @spec event(purpose(), term()) :: Machine.event()
  def event({:model, digest}, {:ok, model}), do: {:model, digest, model}

  def event({:model, digest}, {:error, %Error{} = error}),
    do: {:model, digest, {:error, error}}

  def event({:objects, app, version, digests}, :ok),
    do: {:objects, app, version, digests, :here}

  def event({:objects, app, version, digests}, {:error, error}),
    do: {:objects, app, version, digests, {:error, error}}

  def event({:written, {:lease, app, workload}}, {:conflict, lease, revision}),
    do: {:lease_conflict, app, workload, lease, revision}

  def event({:written, key}, result), do: {:written, key, result}
end
