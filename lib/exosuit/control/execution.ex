defmodule Exosuit.Control.Execution do
  @moduledoc false
  # What each command is on a host: one call to the facade. Runs in a task of its own.

  alias Exosuit.Control.{Command, Door}
  alias Exosuit.Error

  @type result :: {:ok, term()} | {:error, Error.t()} | {:error, Error.t(), diagnostics :: list()}

  @doc "Carries out a command, and sends how it went as `{tag, result}`."
  @spec answer(Command.t(), Exosuit.Control.context(), {pid(), reference()}) ::
          {reference(), result()}
  def answer(command, context, {client, tag}), do: send(client, {tag, run(command, context)})

  @doc "Carries out a command, and waits for how it goes."
  @spec run(Command.t(), Exosuit.Control.context()) :: result()
  def run(%Command{name: name, arguments: arguments}, {api, host}) do
    run(name, arguments, api, host)
  end

  defp run(:inventory, _none, api, host), do: {:ok, api.inventory(host)}
  defp run(:links, _none, api, host), do: {:ok, %{links: api.inventory(host).links}}

  defp run(:call, it, api, host) do
    options = given(timeout: it.timeout_ms)

    with {:ok, answer} <- api.call(host, it.actor, it.operation, it.payload_base64, options),
         do: {:ok, %{payload_base64: Base.encode64(answer)}}
  end

  defp run(:start_actor, it, api, host) do
    {path, options} = Map.pop!(it, :path)
    with {:ok, id} <- api.start_actor(host, path, given(options)), do: {:ok, %{id: id}}
  end

  defp run(:stop_actor, it, api, host), do: done(api.stop_actor(host, it.id))

  defp run(:scale_actor, it, api, host) do
    done(api.scale_actor(host, it.id, it.instances))
  end

  defp run(:update_actor, it, api, host) do
    done(api.update_actor(host, it.id, it.path, force: it.force))
  end

  defp run(:start_provider, it, api, host) do
    options = given(id: it.id, config: it.config, annotations: it.annotations)
    with {:ok, id} <- api.start_provider(host, it.name, options), do: {:ok, %{id: id}}
  end

  defp run(:stop_provider, it, api, host), do: done(api.stop_provider(host, it.id))
  defp run(:put_link, it, api, host), do: done(api.put_link(host, Keyword.new(it)))
  defp run(:delete_link, it, api, host), do: done(api.delete_link(host, Keyword.new(it)))

  defp run(:remote, _none, _api, host), do: Door.open(host)

  defp run(:apply_manifest, it, api, host) do
    case api.apply_manifest(host, it.manifest) do
      {:ok, outcomes, warnings} ->
        {:ok, %{outcomes: outcomes(outcomes), warnings: texts(warnings)}}

      {:error, diagnostics} ->
        error = Error.new(:invalid_manifest, "#{it.manifest} is not applied")
        {:error, error, texts(diagnostics)}
    end
  end

  # Nothing at all to undo says that there is no such application.
  defp run(:delete_app, it, api, host) do
    case api.delete_app(host, it.app) do
      [] ->
        {:error, Error.new(:not_found, "nothing of an application #{inspect(it.app)} is here")}

      outcomes ->
        {:ok, %{outcomes: outcomes(outcomes)}}
    end
  end

  defp given(options), do: Enum.reject(options, fn {_key, value} -> is_nil(value) end)

  defp done(:ok), do: {:ok, %{}}
  defp done(error), do: error

  defp texts(diagnostics), do: Enum.map(diagnostics, & &1.text)

  defp outcomes(outcomes), do: Enum.map(outcomes, &outcome/1)

  defp outcome({{step, what}, result}) do
    Map.merge(subject(what), %{step: step, error: failure(result)})
  end

  defp subject({role, id}) when is_atom(role), do: %{kind: role, id: id}

  defp subject({source, contract, name}) do
    %{kind: :link, source: source, contract: contract, name: name}
  end

  defp subject(%{source: source, namespace: namespace, package: package, name: name}) do
    subject({source, "#{namespace}:#{package}", name})
  end

  defp subject(%{instances: _actor, id: id}), do: %{kind: :actor, id: id}
  defp subject(%{id: id}), do: %{kind: :provider, id: id}

  defp failure(:ok), do: nil
  defp failure({:error, error}), do: %{code: error.reason, detail: Exception.message(error)}
end
