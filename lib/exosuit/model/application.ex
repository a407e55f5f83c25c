defmodule Exosuit.Model.Application do
  @moduledoc """
  An application as it should be on the hosts of a lattice.

  `configurations` are those that its workloads and links name and that come with it; `stored` names
  those that are in the lattice already, each with what is said where it is not.
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
