defmodule Exosuit.Model.Application do
  @moduledoc "An application as it should be on the hosts of a lattice."

  alias Exosuit.Model.{Link, Workload}

  @type t :: %__MODULE__{name: String.t(), workloads: [Workload.t()], links: [Link.t()]}

  @enforce_keys [:name]
  defstruct [:name, workloads: [], links: []]
end
