defmodule Exosuit.Model.Application do
  @moduledoc """
  An application as it should be on the hosts of a lattice.

  `configurations` come with the application, and its workloads and links name them. `stored` names
  configurations that must be in the lattice already, each with the error for a missing one.
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
