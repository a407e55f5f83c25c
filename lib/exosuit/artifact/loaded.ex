defmodule Exosuit.Artifact.Loaded do
  @moduledoc """
  The loaded code of an actor: its bytes, their digest, and the admitted claims. A function that needs the claims
  first, for example for the id of an actor, passes on this struct instead of a path. The host therefore compiles
  the code that it checked, even if the file changes in between.

  The bytes may be megabytes, so a process drops the struct as soon as they are compiled. Specifications keep the
  `artifact` alone, which has the bytes only if the code was given as bytes. A later start without compiled code reads
  the artifact again, and checks it again.
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
