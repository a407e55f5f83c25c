defmodule Exosuit.Actor.Compiled do
  @moduledoc """
  The compiled code of an actor, its claims, and the artifact that it comes from.

  The specification keeps it (`Exosuit.Host.Specifications`), so that a restart needs neither the file nor a compile.
  `module` is a handle of the engine: the compiled code is freed when the last reference to it is gone. `inspect/1`
  shows the claims alone, because the artifact may have the bytes.
  """

  alias Exosuit.{Claims, Config, Error, Model, Wasm}
  alias Exosuit.Artifact.Loaded

  @typedoc """
  `module` is the engine's handle, `claims` those of the token, and `artifact` the source with the digest of its bytes.
  """
  @type t :: %__MODULE__{
          module: reference(),
          claims: Claims.t() | :unsigned,
          artifact: Model.Artifact.t()
        }

  # The artifact may have the bytes.
  @derive {Inspect, only: [:claims]}
  @enforce_keys [:module, :claims, :artifact]
  defstruct [:module, :claims, :artifact]

  @doc """
  Compiles loaded code, within the limits of the host. Blocks the calling process, and may wait for other compiles:
  they take turns between issuers, so that one issuer's modules do not delay all others.

  Imports are checked before the compile, because that is cheap; limits of the module are checked after it. Returns
  `:invalid_module` for code that the engine does not accept.
  """
  @spec new(Loaded.t(), Config.t()) :: {:ok, t()} | {:error, Error.t()}
  def new(%Loaded{bytes: bytes, claims: claims, artifact: artifact}, config) do
    with :ok <- Wasm.check_imports(bytes, config),
         {:ok, module} <- Wasm.compile(bytes, tenant(claims), config.compile),
         :ok <- Wasm.check_module(module, config),
         do: {:ok, %__MODULE__{module: module, claims: claims, artifact: artifact}}
  end

  # Compiles take turns between issuers.
  defp tenant(:unsigned), do: ""
  defp tenant(%Claims{issuer: issuer}), do: issuer
end
