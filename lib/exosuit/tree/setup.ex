defmodule Exosuit.Tree.Setup do
  @moduledoc """
  Makes the parts of a host that exist before its processes.

  | part | made by | owner |
  |---|---|---|
  | secrets, identity, router, lattice | `prepare/1`, in the process that starts the host | none: they are handles |
  | tables | `instance/1`, in the topmost supervisor | that supervisor, so that they outlive all other processes |

  Together they are the `Exosuit.Instance`, which every process of the host gets. If `prepare/1` fails, no process has
  been started, and nothing has to be ended.
  """

  alias Exosuit.{Config, Directory, Error, Instance, Lattice, Router, Settings}
  alias Exosuit.Actor.Handover
  alias Exosuit.Host.{Identity, Leases, Links, Specifications, Statuses}

  @typedoc "The fields of an `Exosuit.Instance` that are made by `prepare/1`."
  @type prepared :: %{
          config: Config.t(),
          source: String.t(),
          friendly_name: String.t(),
          router: reference(),
          lattice: Lattice.Session.t()
        }

  @doc """
  Moves the secrets to Rust, reads the host's identity, and opens the lattice. The error is about options that only
  Rust can check. The third element is the reason if the identity could not be read or written, or `nil`; the host
  starts with another identity then.
  """
  @spec prepare(Config.t()) :: {:ok, prepared(), unkept :: Error.t() | nil} | {:error, term()}
  def prepare(config) do
    writer = Directory.via(config.name, Lattice.Local.Writer)

    with {:ok, config} <- Lattice.Join.keep_secrets(config),
         {:ok, %{public_key: key, friendly_name: name}, unkept} <- Identity.fetch(config),
         router = Router.new(config),
         {:ok, lattice} <- Lattice.Join.open(config, key, router, writer) do
      made = %{config: config, source: key, friendly_name: name, router: router, lattice: lattice}
      {:ok, made, unkept}
    end
  end

  @doc "The instance, with tables that belong to the calling process."
  @spec instance(prepared()) :: Instance.t()
  def instance(%{config: config} = prepared) do
    fields = %{
      name: config.name,
      tables: tables(config),
      lattice: Lattice.Session.adopt(prepared.lattice),
      lost_events: :counters.new(3, []),
      started_at: System.monotonic_time(:second)
    }

    struct!(Instance, Map.merge(prepared, fields))
  end

  defp tables(config) do
    %{
      specifications: Specifications.table(),
      leases: Leases.table(),
      links: Links.table(),
      peers: Lattice.Peers.table(),
      known: Lattice.Known.table(),
      settings: Settings.table(config),
      handover: Handover.table(),
      statuses: Statuses.table()
    }
  end
end
