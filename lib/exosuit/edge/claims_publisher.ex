defmodule Exosuit.Edge.ClaimsPublisher do
  @moduledoc """
  Writes the claims and public keys of this host's actors and providers to the lattice: those of each one when it
  starts, and all of them when the host is connected (again). Equal records, and records of a greater revision,
  stay unchanged.

  Tools of wasmCloud read these records to show names, issuers and aliases of actors, and to find the public key of a
  provider by its reference. Hosts of the lattice read them as well (`Exosuit.Host.Replica`). An unsigned actor has no
  claims, and nothing is written for it.

  Each write waits for a server. If one fails, the rest is not tried; after a delay of `Exosuit.Retry`, all are
  tried again. While that timer runs, single starts are not written: their records are among all.

  | message | from | writes |
  |---|---|---|
  | `{:register, {role, id}}` | `notice/2`, after a start or an update | that one |
  | `:register_all` | `notice/2`, after a connection, or if the bucket lost records | all that runs |
  | `:register_all` | its own timer, after a failure | all that runs |

  The process runs only in a lattice of several hosts. If it crashes, it begins with all records again.
  """

  use Exosuit.Server

  alias Exosuit.{Claims, Directory, Event, Instance, Json, Lattice, Retry, Router}
  alias Exosuit.Host.{Inventory, Specifications}
  alias Exosuit.Lattice.Store
  alias Exosuit.Model.{Artifact, ProviderSpecification}
  alias Exosuit.Protocol.Otp

  @enforce_keys [:instance]
  defstruct [:instance, retry: Retry.new(), timer: nil]

  @starts %{"actor_started" => :actor, "actor_updated" => :actor, "provider_started" => :provider}

  @doc "Starts the publisher of a host in a lattice of several hosts. Its first writes follow the start."
  @spec start_link(Instance.t()) :: GenServer.on_start()
  def start_link(instance) do
    GenServer.start_link(__MODULE__, instance, name: Directory.via(instance.name, __MODULE__))
  end

  @doc """
  Passes on an event of this host that concerns claims: a start, an update, a connection, or lost records. Ignores all
  others. Does not wait.
  """
  @spec notice(Instance.t(), Event.t()) :: :ok
  def notice(instance, %Event{type: type, data: %{id: id}}) when is_map_key(@starts, type) do
    GenServer.cast(Directory.via(instance.name, __MODULE__), {:register, {@starts[type], id}})
  end

  def notice(instance, %Event{type: "lattice_connected", data: %{connection: "control"}}) do
    GenServer.cast(Directory.via(instance.name, __MODULE__), :register_all)
  end

  def notice(instance, %Event{type: "lattice_state_lost", data: %{bucket: :data}}) do
    GenServer.cast(Directory.via(instance.name, __MODULE__), :register_all)
  end

  def notice(_instance, _event), do: :ok

  @impl GenServer
  def init(instance), do: {:ok, %__MODULE__{instance: instance}, {:continue, :register_all}}

  @impl GenServer
  def handle_continue(:register_all, state), do: {:noreply, register_all(state)}

  @impl GenServer
  def handle_cast(:register_all, state), do: {:noreply, register_all(state)}

  # When the timer ends, all records are written, so this one need not be written now.
  def handle_cast({:register, _key}, %{timer: timer} = state) when timer != nil,
    do: {:noreply, state}

  def handle_cast({:register, key}, state) do
    {:noreply, written(state, register(state.instance, key) == :ok)}
  end

  @impl GenServer
  def handle_info(:register_all, state), do: {:noreply, register_all(state)}

  defp register_all(%{instance: instance} = state) do
    keys =
      for role <- [:actor, :provider],
          {id, _pid, _facts} <- Directory.list(instance.name, role),
          do: {role, id}

    # After the first failure, the rest is not tried.
    written(state, Enum.all?(keys, &(register(instance, &1) == :ok)))
  end

  defp written(state, written?) do
    if state.timer, do: Process.cancel_timer(state.timer)
    now = System.monotonic_time(:millisecond)

    if written? do
      %{state | retry: Retry.worked(state.retry, now), timer: nil}
    else
      {delay, retry} = Retry.failed(state.retry, now)
      %{state | retry: retry, timer: Process.send_after(self(), :register_all, delay)}
    end
  end

  defp register(instance, {:actor, id}) do
    case Directory.fetch(instance.name, {:actor, id}) do
      {:ok, {_pid, %{claims: %Claims{} = claims}}} -> write_claims(instance, Claims.known(claims))
      _unsigned_or_gone -> :ok
    end
  end

  defp register(instance, {:provider, id}) do
    case Specifications.fetch(instance, {:provider, id}) do
      {:ok, {provider, _compiled}} ->
        claims = Inventory.provider_claims(provider)

        with :ok <- write_claims(instance, claims),
             do: write_reference(instance, provider, claims.subject)

      {:error, _gone} ->
        :ok
    end
  end

  defp write_claims(instance, claims) do
    Store.update(instance.lattice, :data, Otp.Claims.key(claims.subject), fn old ->
      with true <- newer?(claims, old), {:ok, new} <- Otp.Claims.encode(claims) do
        {:put, new}
      else
        false -> :keep
        error -> error
      end
    end)
  end

  defp newer?(_claims, nil), do: true

  defp newer?(claims, old) do
    case Otp.Claims.decode(claims.subject, old) do
      {:ok, ^claims} -> false
      {:ok, there} -> claims.revision >= there.revision
      {:error, _unreadable} -> true
    end
  end

  # A reference has the same meaning on every host; the path of a file does not.
  defp write_reference(instance, %ProviderSpecification{} = provider, key) do
    reference = Artifact.reference(provider.artifact)
    fields = %{oci_url: reference, public_key: key}

    # A provider with an id of its own has a key that does not follow from the reference alone.
    with true <- key == Router.reference_key(reference), {:ok, new} <- Json.encode(fields) do
      put(instance, Otp.Records.reference_key(reference), new, fields)
    else
      false -> :ok
      error -> error
    end
  end

  defp put(instance, place, new, fields) do
    written =
      Store.write(instance.lattice, :data, place, fn old ->
        if same?(old, fields), do: :keep, else: {:put, new}
      end)

    case written do
      {:ok, nil} -> :ok
      {:ok, _written} -> Lattice.announce_remote(instance, Event.RefmapSet.new(fields))
      error -> error
    end
  end

  defp same?(nil, _fields), do: false

  defp same?(old, fields) do
    wanted = %{"oci_url" => fields.oci_url, "public_key" => fields.public_key}
    Json.decode(old) == {:ok, wanted}
  end
end
