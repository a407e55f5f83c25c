defmodule Exosuit.Tree.Setup do
  @moduledoc false
  # What a host is made of before its processes: what no process owns (`prepare/1`, by whoever starts the host), and
  # the tables that its topmost supervisor owns (`instance/1`, by that supervisor).

  alias Exosuit.{Config, Directory, Error, Instance, Lattice, Router, Settings}
  alias Exosuit.Actor.Handover
  alias Exosuit.Host.{Configurations, Identity, Links, Specifications, Statuses}

  @typedoc "The fields of an `Exosuit.Instance` that are made by `prepare/1`."
  @type prepared :: %{
          config: Config.t(),
          source: String.t(),
          friendly_name: String.t(),
          router: reference(),
          bus: module(),
          lattice: Lattice.Session.t() | nil,
          nats_lattice: reference() | nil
        }

  @doc """
  Keeps the secrets in Rust, takes the host's identity, and opens the lattice. The error says what is wrong with the
  options that only Rust can tell. The third element says why the identity was not written to the data directory.
  """
  @spec prepare(Config.t()) :: {:ok, prepared(), unkept :: Error.t() | nil} | {:error, term()}
  def prepare(config) do
    with {:ok, config} <- keep_secrets(config),
         {:ok, %{public_key: key, friendly_name: name}, unkept} <- Identity.fetch(config),
         router = Router.new(config),
         {:ok, joined} <- join(config, key, router) do
      made = %{config: config, source: key, friendly_name: name, router: router}
      {:ok, Map.merge(made, joined), unkept}
    end
  end

  @doc "The instance, with tables that belong to the calling process."
  @spec instance(prepared()) :: Instance.t()
  def instance(%{config: config} = prepared) do
    fields = %{
      name: config.name,
      tables: tables(config),
      lattice: prepared.lattice || local_session(prepared),
      lost_events: :counters.new(3, []),
      started_at: System.monotonic_time(:second)
    }

    struct!(Instance, Map.merge(prepared, fields))
  end

  defp tables(config) do
    %{
      specifications: Specifications.table(),
      links: Links.table(),
      configurations: Configurations.table(),
      peers: Lattice.Peers.table(),
      known: Lattice.Known.table(),
      settings: Settings.table(config),
      handover: Handover.table(),
      statuses: Statuses.table()
    }
  end

  defp local_session(%{config: config, source: source}) do
    Lattice.Local.session(config, source, Directory.via(config.name, Lattice.Local.Writer))
  end

  defp keep_secrets(%Config{nats: nil} = config), do: {:ok, config}

  defp keep_secrets(config) do
    with {:ok, nats} <- Lattice.Nats.keep_secrets(config.nats), do: {:ok, %{config | nats: nats}}
  end

  defp join(%Config{nats: nil}, _key, _router),
    do: {:ok, %{bus: Lattice.Local, lattice: nil, nats_lattice: nil}}

  defp join(config, key, router) do
    with {:ok, lattice} <- Lattice.Nats.open(config, key, router),
         session = %Lattice.Session{backend: Lattice.Nats, handle: lattice},
         do: {:ok, %{bus: Lattice.Nats, lattice: session, nats_lattice: lattice}}
  end
end
