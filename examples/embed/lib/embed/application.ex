defmodule Embed.Application do
  @moduledoc """
  A host in an app's own supervision tree, and on it what the manifest says.

      Embed.Supervisor (one_for_one)
      ├── Exosuit      the host, `Embed.Host`
      └── Task         applies `priv/app.yaml` once the host runs, and ends
  """
  use Application

  # The account that signed the visitor: who else signs is not let in.
  @issuer "AANA4H34K2XY3VELZX6H5OR2V3PYOFVHBNI3NIVFEX37H7JMMFU56HNU"

  @impl Application
  def start(_type, _args) do
    host = [
      name: Embed.Host,
      trusted_issuers: [@issuer],
      # What manifests may name: `exosuit+module://greeter`.
      providers: %{"greeter" => Embed.Greeter}
    ]

    children = [{Exosuit, host}, {Task, &deploy/0}]
    Supervisor.start_link(children, strategy: :one_for_one, name: Embed.Supervisor)
  end

  # A step that fails is told in an event, and does not hold up the others.
  defp deploy do
    manifest = Application.app_dir(:embed, "priv/app.yaml")
    {:ok, _outcomes, _warnings} = Exosuit.apply_manifest(Embed.Host, manifest)
  end
end
