defmodule Exosuit.Model.Application do
  @moduledoc """
  An application as it should be on the hosts of a lattice.

  `configurations` come with the application, and its workloads and links name them. `stored` names
  configurations that must be in the lattice already, each with the error for a missing one.

  It is made from a parsed manifest (`Exosuit.Manifest.Workloads`), and has no counts for a single host: those come from
  `Exosuit.App.Placement`. A link belongs to the whole application, and so every host that runs a part of it makes the
  same links.

  `inspect/1` leaves the configurations out, which may hold secrets.
  """

  alias Exosuit.Model.{Configuration, Link, Workload}

  @type t :: %__MODULE__{
          name: String.t(),
          workloads: [Workload.t()],
          links: [Link.t()],
          configurations: %{optional(String.t()) => Configuration.t()},
          stored: [{String.t(), map()}]
        }

  @enforce_keys [:name]
  # Configuration may hold secrets.
  @derive {Inspect, except: [:configurations]}
  defstruct [:name, workloads: [], links: [], configurations: %{}, stored: []]
end
