defmodule Exosuit.Control.Providers do
  @moduledoc false
  # Starts and stops providers for the lattice. If a start fails before the host was asked to start anything, the
  # event about that is made here.

  alias Exosuit.{Directory, Error, Lattice}
  alias Exosuit.Control.{Configurations, Reference}
  alias Exosuit.Model.Command.{AuctionProvider, StartProvider, StopProvider}

  @type host :: {api :: module(), host :: atom()}

  @doc """
  Whether the state of the host allows a start. Quick: nothing is started.
  """
  @spec admit(StartProvider.t(), host()) :: :ok | {:error, Error.t()}
  def admit(it, {api, host}) do
    with {:ok, _name} <- name(it.code, host),
         do: free(it, {api, host})
  end

  @doc "Starts a provider."
  @spec start(StartProvider.t(), host()) :: :ok | {:error, Error.t()}
  def start(it, {api, host}) do
    with :absent <- present(it, {api, host}),
         {:ok, name} <- name(it.code, host),
         {:ok, config} <- Configurations.resolve(it.config, {api, host}) do
      start(name, config, it, {api, host})
    else
      :present -> :ok
      {:error, error} -> told(error, it, host)
    end
  end

  @doc "Stops a provider."
  @spec stop(StopProvider.t(), host()) :: :ok | {:error, Error.t()}
  def stop(it, {api, host}) do
    case find(it.id, it.link_name, {api, host}) do
      nil -> {:error, Error.new(:not_found, "no provider #{inspect(it.id)} on #{inspect(host)}")}
      provider -> api.stop_provider(host, provider.id)
    end
  end

  @doc "Whether the host may bid for a provider: false if it runs here already."
  @spec free?(AuctionProvider.t() | StartProvider.t(), host()) :: boolean()
  def free?(%{id: nil} = it, host), do: find(reference(it), it.link_name, host) == nil
  def free?(%{id: id}, {api, host}), do: match?({:error, _absent}, api.fetch_provider(host, id))

  @doc "Announces that the start of a provider failed."
  @spec announce_failure(StartProvider.t(), Error.t(), atom()) :: :ok
  def announce_failure(it, error, host) do
    Lattice.announce(Directory.fetch!(host, :instance), "provider_start_failed", %{
      id: it.id || reference(it),
      image_ref: reference(it),
      link_name: it.link_name || "default",
      annotations: it.annotations,
      reason: error.reason,
      error: Exception.message(error)
    })
  end

  # By name, twice the same is once; the OTP era wants to be told.
  defp free(%{id: nil} = it, {_api, host} = context) do
    if free?(it, context), do: :ok, else: told(running(), it, host)
  end

  defp free(it, {api, host}) do
    case api.fetch_provider(host, it.id) do
      {:ok, provider} -> agree(provider, it)
      {:error, _absent} -> :ok
    end
  end

  defp agree(provider, it) do
    if provider.image_ref == reference(it) do
      :ok
    else
      detail = "provider #{it.id} runs from #{provider.image_ref}, and not #{reference(it)}"
      {:error, Error.new(:conflict, detail)}
    end
  end

  defp present(%{id: nil}, _host), do: :absent

  defp present(it, {api, host}) do
    case api.fetch_provider(host, it.id) do
      {:ok, provider} -> with :ok <- agree(provider, it), do: :present
      {:error, _absent} -> :absent
    end
  end

  defp running do
    Error.new(:conflict, "Provider with that link name is already running on this host")
  end

  defp name({:name, name}, _host), do: {:ok, name}

  defp name({:reference, reference}, host) do
    Reference.provider(reference, Directory.fetch!(host, :instance).config.allow_file_load)
  end

  defp reference(%AuctionProvider{reference: reference}), do: reference
  defp reference(%StartProvider{code: {_kind, code}}), do: code

  defp start(name, config, it, {api, host}) do
    id = it.id || id(it, {api, host})
    link_name = it.link_name || "default"
    options = [id: id, config: config, annotations: it.annotations, link_name: link_name]
    with {:ok, _id} <- api.start_provider(host, name, options), do: :ok
  end

  # The name in the reference, if nothing else is called that.
  defp id(it, {api, host}) do
    name = Reference.name(reference(it))

    taken? =
      Enum.any?([&api.fetch_actor/2, &api.fetch_provider/2], &match?({:ok, _it}, &1.(host, name)))

    if taken?, do: "#{name}-#{it.link_name}", else: name
  end

  # By its key, its id or its reference, whatever a peer knows it by.
  defp find(name, link_name, {api, host}) do
    Enum.find(api.inventory(host).providers, fn provider ->
      name in [provider.id, provider[:public_key], provider.image_ref] and
        link_name in [nil, provider.link_name]
    end)
  end

  defp told(error, it, host) do
    announce_failure(it, error, host)
    {:error, error}
  end
end
