defmodule Embed.Application do
  @moduledoc """
  A host in an app's own supervision tree, and on it what the manifest says.

      Embed.Supervisor (one_for_one)
      └── Exosuit      the host, `Embed.Host`, which applies `priv/app.yaml` at each start
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
      providers: %{"greeter" => Embed.Greeter},
      # Also when the supervisor below has started the host again: it is never empty.
      manifests: [Application.app_dir(:embed, "priv/app.yaml")]
    ]

    Supervisor.start_link([{Exosuit, host}], strategy: :one_for_one, name: Embed.Supervisor)
  end
end
