defmodule Exosuit.App.Machine.Options do
  @moduledoc """
  The numbers of a member machine. Times are in milliseconds. A manifest may set `progress_deadline` and
  `max_unavailable` for its application (`Exosuit.App.Model.rollout/1`).

  | option | default | |
  |---|---|---|
  | `beat` | 2 000 | the interval of a member's beats |
  | `misses` | 3 | the number of intervals without a beat after which a member is lost |
  | `grace` | 30 000 | the longest time for which a workload that moves away goes on |
  | `progress_deadline` | 60 000 | the time within which all of a share of a new version must run |
  | `max_unavailable` | 1 | the number of members that may update one application at a time |
  | `lease` | 15 000 | the length of a singleton's lease (`Exosuit.App.Machine.Lease`) |
  | `retry` | 5 000 | the pause before a failed write or fetch is tried again |
  | `alone` | false | no other member can exist (`Exosuit.Lattice.Local`), so there is nobody to wait for |
  | `without` | [] | rules that are switched off, for tests alone |

  `beat * misses` is about the time for which the share of a crashed host stands still; a shorter one would count a
  host as lost that was slow for a moment. A singleton of that host stands still for `lease` instead. `grace` must be
  long enough for a start on another host, and `progress_deadline` long enough for a download and a compilation.

  All members of a lattice should have the same `beat`, `misses` and `lease`. A lease has its length in its value, so
  that at least this one may differ during an update of Exosuit.
  """

  @typedoc """
  A rule that a test can switch off, to show that the simulation needs it.

  - `:frozen`: members are lost even while this host is cut off
  - `:generation`: the identity of the store is not compared
  - `:slots`: members update without waiting for each other
  - `:handover`: a workload ends here at once when it moves away
  - `:lease_end`: a host runs a singleton although its lease has ended
  - `:lease_wait`: a lease is taken without waiting for the former holder
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
