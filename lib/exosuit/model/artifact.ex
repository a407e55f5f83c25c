defmodule Exosuit.Model.Artifact do
  @moduledoc """
  The source of the code of an actor or a provider.

  `{:file, path, digest}` and `{:bytes, bytes, digest}` are Wasm. Their digest is the SHA-256 of the bytes in
  upper-case hexadecimal, `nil` before they are read. `{:object, name, digest, source}` is Wasm of the lattice's
  store, whose digest (`sha256:…`) is known before it is read; `{:builtin, name}` is a provider that Exosuit brings
  along, `{:module, name, module}` one in Elixir.

  | form | bytes are | named by |
  |---|---|---|
  | `{:file, path, digest}` | read when the actor starts | the owner of the host, or a command that may load files |
  | `{:bytes, bytes, digest}` | in the tuple | code that calls the public API |
  | `{:object, name, digest, source}` | on this host already, at `source` | a manifest |
  | `{:builtin, name}`, `{:module, name, module}` | none | all of these |

  Two kinds of digests meet here. Files and bytes have that of the OTP era's hosts, objects the one of the store
  (`Exosuit.Model.Digest`). Do not compare one with the other.
  """

  @typedoc "The SHA-256 of bytes in upper-case hexadecimal, `nil` before they are read."
  @type digest :: String.t() | nil

  @typedoc "The place of an object's bytes on this host."
  @type source :: {:path, Path.t()} | {:bytes, binary()}
  @type t ::
          {:file, Path.t(), digest()}
          | {:bytes, binary(), digest()}
          | {:object, name :: String.t(), String.t(), source()}
          | {:builtin, String.t()}
          | {:module, String.t(), module()}

  @doc """
  The reference for people: the `image_ref` of events and inventories.

      iex> Exosuit.Model.Artifact.reference({:file, "/srv/shop.wasm", nil})
      "file:///srv/shop.wasm"
      iex> Exosuit.Model.Artifact.reference({:builtin, "keyvalue"})
      "wasmcloud+builtin://keyvalue"
      iex> Exosuit.Model.Artifact.reference({:bytes, "code", nil})
      "4 bytes"
  """
  @spec reference(t()) :: String.t()
  def reference({:file, path, _digest}), do: "file://" <> path
  def reference({:bytes, bytes, nil}), do: "#{byte_size(bytes)} bytes"
  def reference({:bytes, _bytes, digest}), do: "sha256:#{digest}"
  def reference({:object, name, digest, _source}), do: "exosuit+object://#{name}@#{digest}"
  def reference({:builtin, name}), do: "wasmcloud+builtin://" <> name
  def reference({:module, name, _module}), do: "exosuit+module://" <> name
end
