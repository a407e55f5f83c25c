defmodule Exosuit.Artifact.Loaded do
  @moduledoc """
  The code of an actor as it was read once: its bytes, their digest, and the claims that the host admitted.

  Whoever needs the claims first, for the id of an actor say, hands this struct down instead of a path. So the code
  that is compiled is the code that was checked, even if the file changes in between.

  The bytes may be megabytes, so a process drops the struct as soon as they are compiled. Specifications keep the
  `artifact` alone, which has the bytes only if somebody gave the code as bytes. A later start without compiled code
  reads the artifact again, and checks it again.
  """

  alias Exosuit.{Claims, Model}

  @type t :: %__MODULE__{
          artifact: Model.Artifact.t(),
          bytes: binary(),
          digest: String.t(),
          claims: Claims.t() | :unsigned
        }

  # The artifact may have the bytes as well.
  @derive {Inspect, only: [:digest, :claims]}
  @enforce_keys [:artifact, :bytes, :digest, :claims]
  defstruct [:artifact, :bytes, :digest, :claims]
end
