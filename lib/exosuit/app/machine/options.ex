defmodule Exosuit.App.Machine.Options do
  @moduledoc """
  The numbers of a member machine. Times are in milliseconds. A manifest may set `progress_deadline` and
  `max_unavailable` for its application (`Exosuit.App.Model.rollout/1`).

  - `beat`: the interval of a member's beats
  - `misses`: the number of intervals without a beat after which a member is lost
  - `grace`: the longest time for which a workload that moves away goes on
  - `progress_deadline`: the time within which all of a share of a new version must run
  - `max_unavailable`: the number of members that may update one application at a time
  - `lease`: the length of a singleton's lease (`Exosuit.App.Machine.Lease`)
  - `retry`: the pause before a failed write or fetch is tried again
  - `alone`: no other member can exist (`Exosuit.Lattice.Local`), so there is nobody to wait for
  - `without`: rules that are switched off, for tests alone
  """

  @type rule :: :frozen | :generation | :slots | :handover | :lease_end | :lease_wait
  @type t :: %__MODULE__{
          beat: pos_integer(),
          misses: pos_integer(),
          grace: pos_integer(),
          progress_deadline: pos_integer(),
          max_unavailable: pos_integer(),
          lease: pos_integer(),
          retry: pos_integer(),
          alone: boolean(),
          without: [rule()]
        }

  defstruct beat: 2_000,
            misses: 3,
            grace: 30_000,
            progress_deadline: 60_000,
            max_unavailable: 1,
            lease: 15_000,
            retry: 5_000,
            alone: false,
            without: []
end
