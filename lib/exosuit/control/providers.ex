defmodule Exosuit.Control.Providers do
  @moduledoc """
  Starts and stops providers for the lattice.

  1.x gives a provider an id; the OTP era knows a provider by its reference and its link name. In the second case, this
  module chooses the id: the name in the reference, with the link name if another item has that id.

  A start is acknowledged before its end, so an event must report each outcome. `Exosuit.Host.Providers` announces the
  starts that the host has tried. If a command fails before that, this module announces the failure.
  """

  alias Exosuit.{Error, Event, Host, Instance, Lattice}
  alias Exosuit.Control.{Configurations, Reference}
  alias Exosuit.Host.Inventory
  alias Exosuit.Model.Command.{AuctionProvider, StartProvider, StopProvider}

  @doc """
  Checks, before a start is acknowledged, whether the state of the host allows it. Quick: nothing is started.

  A second start under the same id and reference succeeds, and changes nothing. With another reference it is a
  `:conflict`. In the OTP era, a second start of the same provider is a `:conflict` as well.
  """
  @spec admit(StartProvider.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def admit(it, instance) do
    with {:ok, _name} <- name(it.code, instance),
         do: free(it, instance)
  end

  @doc """
  Starts a provider. Blocks the calling process until it has its links. `:ok` if it runs already from the same
  reference.
  """
  @spec start(StartProvider.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def start(it, instance) do
    with :absent <- present(it, instance),
         {:ok, name} <- name(it.code, instance),
         {:ok, config} <- Configurations.resolve(it.config, instance) do
      start(name, config, it, instance)
    else
      :present -> :ok
      {:error, error} -> told(error, it, instance)
    end
  end

  @doc """
  Stops the provider with this key, id or reference, and with this link name if there is one. `:not_found` if there is
  none.
  """
  @spec stop(StopProvider.t(), Instance.t()) :: :ok | {:error, Error.t()}
  def stop(it, instance) do
    case find(it.id, it.link_name, instance) do
      nil ->
        {:error,
         Error.new(:not_found, "no provider #{inspect(it.id)} on #{inspect(instance.name)}")}

      provider ->
        Host.Providers.stop(instance, provider.id)
    end
  end

  @doc "Whether the host may bid for a provider: false if it runs here already."
  @spec free?(AuctionProvider.t() | StartProvider.t(), Instance.t()) :: boolean()
  def free?(%{id: nil} = it, instance), do: find(reference(it), it.link_name, instance) == nil

  def free?(%{id: id}, instance),
    do: match?({:error, _absent}, Inventory.fetch_provider(instance, id))

  @doc "Announces that the start of a provider failed."
  @spec announce_failure(StartProvider.t(), Error.t(), Instance.t()) :: :ok
  def announce_failure(it, error, instance) do
    Lattice.announce(instance, %Event.ProviderStartFailed{
      id: it.id || reference(it),
      image_ref: reference(it),
      link_name: it.link_name || "default",
      annotations: it.annotations,
      reason: error.reason,
      error: Exception.message(error)
    })
  end

  # A second start under the same id succeeds and changes nothing. In the OTP era, which gives no id, it is an error.
  defp free(%{id: nil} = it, instance) do
    if free?(it, instance), do: :ok, else: told(running(), it, instance)
  end

  defp free(it, instance) do
    case Inventory.fetch_provider(instance, it.id) do
      {:ok, provider} -> agree(provider, it)
      {:error, _absent} -> :ok
    end
  end

  defp agree(provider, it) do
    if provider.image_ref == reference(it) do
      :ok
    else
      detail = "provider #{it.id} runs from #{provider.image_ref}, not from #{reference(it)}"
      {:error, Error.new(:conflict, detail)}
    end
  end

  defp present(%{id: nil}, _instance), do: :absent

  defp present(it, instance) do
    case Inventory.fetch_provider(instance, it.id) do
      {:ok, provider} -> with :ok <- agree(provider, it), do: :present
      {:error, _absent} -> :absent
    end
  end

  defp running do
    Error.new(:conflict, "Provider with that link name is already running on this host")
  end

  defp name({:name, name}, _instance), do: {:ok, name}

  defp name({:reference, reference}, instance) do
    Reference.provider(reference, instance.config.allow_file_load)
  end

  defp reference(%AuctionProvider{reference: reference}), do: reference
  defp reference(%StartProvider{code: {_kind, code}}), do: code

  defp start(name, config, it, instance) do
    id = it.id || id(it, instance)
    link_name = it.link_name || "default"
    options = [id: id, config: config, annotations: it.annotations, link_name: link_name]
    with {:ok, _id} <- Host.Providers.start(instance, name, options), do: :ok
  end

  # The id is the name in the reference, if no other item has it.
  defp id(it, instance) do
    name = Reference.name(reference(it))

    taken? =
      Enum.any?(
        [&Inventory.fetch_actor/2, &Inventory.fetch_provider/2],
        &match?({:ok, _it}, &1.(instance, name))
      )

    if taken?, do: "#{name}-#{it.link_name}", else: name
  end

  # Finds a provider by its key, its id or its reference.
  defp find(name, link_name, instance) do
    Enum.find(Inventory.take(instance).providers, fn provider ->
      name in [provider.id, provider[:public_key], provider.image_ref] and
        link_name in [nil, provider.link_name]
    end)
  end

  defp told(error, it, instance) do
    announce_failure(it, error, instance)
    {:error, error}
  end
end
