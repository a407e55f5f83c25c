defmodule Exosuit.Protocol.Wadm do
  @moduledoc """
  The API of wadm, the deployment manager of wasmCloud: its subjects and messages. Pure.

  - `Exosuit.Protocol.Wadm.Commands`: decodes the requests of tools to commands
  - `Exosuit.Protocol.Wadm.Replies`: the answers
  - `Exosuit.Protocol.Wadm.Status`: the status of an application
  - `Exosuit.Protocol.Wadm.Ulid`: versions of manifests that name none

  `Exosuit.Control.Wadm` has the processes that serve the API. A lattice has either wadm itself or hosts that serve its
  API: `probe/1` is how hosts find out.

  The shapes are those of wadm 0.21. Tools of wadm 0.7 send more fields in two requests, and read fields of the
  status that 0.21 calls deprecated. Exosuit supports these fields as well.
  """

  @group "wadm_server"

  @doc "The beginning of the subjects of all requests of a lattice."
  @spec prefix(String.t()) :: String.t()
  def prefix(lattice), do: "wadm.api.#{lattice}"

  @doc "The subject that a server of the API subscribes to."
  @spec requests(String.t()) :: String.t()
  def requests(lattice), do: prefix(lattice) <> ".model.>"

  @doc "The queue group of all servers: one of them answers each request."
  @spec group() :: String.t()
  def group, do: @group

  @doc """
  The subject of probes. wadm subscribes to all of `wadm.api.>` and answers it with an error. Hosts of Exosuit do not
  subscribe to it, so a reply comes from wadm.
  """
  @spec probe(String.t()) :: String.t()
  def probe(lattice), do: prefix(lattice) <> ".exosuit.probe"

  @doc "Whether the decoded reply to a probe comes from wadm."
  @spec probed?(term()) :: boolean()
  def probed?(reply), do: match?(%{"result" => _any}, reply)

  @doc "The subject of the status of an application."
  @spec status(String.t(), String.t()) :: String.t()
  def status(lattice, app), do: "wadm.status.#{lattice}.#{app}"
end
