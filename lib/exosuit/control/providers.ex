defmodule Exosuit.Control.Providers do
  @moduledoc false
  # What commands of the lattice do with providers. A start that the host never heard of is told by an
  # event that is made here.

  alias Exosuit.{Directory, Error, Lattice}
  alias Exosuit.Control.{Configurations, Reference}

  @type host :: {api :: module(), host :: atom()}

  @doc """
  What is wrong with a start by what is here now, or that nothing is left to do. Quick: nothing is
  started.
  """
  @spec admit(map(), host()) :: :ok | {:error, Error.t()}
  def admit(it, {api, host}) do
    with {:ok, _name} <- Reference.provider(it.reference, allowed?(host)),
         do: free(it, {api, host})
  end

  @doc "Starts a provider."
  @spec launch(map(), host()) :: :ok | {:error, Error.t()}
  def launch(it, {api, host}) do
    with :absent <- present(it, {api, host}),
         {:ok, name} <- Reference.provider(it.reference, allowed?(host)),
         {:ok, config} <- configuration(it.config, {api, host}) do
      start(name, config, it, {api, host})
    else
      :present -> :ok
      {:error, error} -> told(error, it, host)
    end
  end

  @doc "Stops a provider, if it is there."
  @spec withdraw(map(), host()) :: :ok | {:ok, map()} | {:error, Error.t()}
  def withdraw(it, {api, host}) do
    case find(it.id, it.link_name, {api, host}) do
      nil -> {:ok, %{message: "no such provider runs here"}}
      provider -> api.stop_provider(host, provider.id)
    end
  end

  @doc "Whether it might run here, since it does not yet."
  @spec free?(map(), host()) :: boolean()
  def free?(%{id: nil} = it, host), do: find(it.reference, it.link_name, host) == nil
  def free?(%{id: id}, {api, host}), do: match?({:error, _absent}, api.fetch_provider(host, id))

  @doc "Announces that the start of a provider failed."
  @spec announce_failure(map(), Error.t(), atom()) :: :ok
  def announce_failure(it, error, host) do
    Lattice.announce(Directory.fetch!(host, :instance), "provider_start_failed", %{
      id: it.id || it.reference,
      image_ref: it.reference,
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
    if provider.image_ref == it.reference do
      :ok
    else
      detail = "provider #{it.id} runs from #{provider.image_ref}, and not #{it.reference}"
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

  defp configuration({:text, text}, _host), do: Configurations.text(text)
  defp configuration({:names, names}, host), do: Configurations.merge(names, host)

  defp start(name, config, it, {api, host}) do
    id = it.id || id(it, {api, host})
    link_name = it.link_name || "default"
    options = [id: id, config: config, annotations: it.annotations, link_name: link_name]
    with {:ok, _id} <- api.start_provider(host, name, options), do: :ok
  end

  # The name in the reference, if nothing else is called that.
  defp id(it, {api, host}) do
    name = Reference.name(it.reference)

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

  defp allowed?(host), do: Directory.fetch!(host, :instance).config.allow_file_load
end
