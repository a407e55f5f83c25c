defmodule Exosuit.Model.Command do
  @moduledoc """
  The commands that a host accepts from outside: a struct for each, named by the verbs of `Exosuit`.

  The peers' codecs (`Exosuit.Protocol`) decode messages to these structs, with every argument checked, and
  `Exosuit.Control.Execution` carries them out. Fields without a default are required. `inspect/1` leaves out
  fields that may hold secrets.

      socket, a line of JSON ──► Protocol.Socket ─┐
      NATS, OTP era ───────────► Protocol.Otp ────┼──► %Command.StartActor{…} ──► Control.Execution ──► Host.Actors
      NATS, wasmCloud 1.x ─────► Protocol.V1 ─────┘

  So each peer has its own words for a command, and the host has one struct. A field that a peer does not know has its
  default. To add a command, add it here, in the codecs of the peers that know it, and in `Exosuit.Control.Execution`.

  Commands are data from outside that was checked for its *form*. Whether the sender may do it, and whether the id
  exists, is decided by the code that carries the command out.
  """

  use Exosuit.Model.Command.Table

  alias Exosuit.Model.Credentials

  @typedoc """
  The code to run. `:path` is a Wasm file and `:name` a provider that the owner of the host chose. `:reference`
  came over the lattice: the host reads such a file only if `:allow_file_load` permits it.
  """
  @type code :: {:path, Path.t()} | {:name, String.t()} | {:reference, String.t()}

  @typedoc """
  Configuration: the values, the names of stored configurations of which a later one prevails, or a JSON object in
  a text, as clients of the OTP era send it.
  """
  @type config :: {:values, values()} | {:names, [String.t()]} | {:text, String.t()}

  @typedoc "Texts by their names: configuration, annotations, labels."
  @type values :: %{optional(String.t()) => String.t()}

  defcommand Inventory,
             "Lists the specified and running actors and providers of the host, and its links."

  defcommand Ping, "Asks for the facts about the host, and makes it send a heartbeat."

  defcommand Call, "Calls an operation of an actor.",
    actor: String.t(),
    operation: String.t(),
    payload: binary() \\ "",
    timeout: pos_integer() | nil \\ nil

  defcommand StartActor,
             """
             Starts an actor. A `:reference` without an `id` gets the public key as its id, and adds instances if
             that actor runs from the same reference.
             """,
             code: code(),
             id: String.t() | nil \\ nil,
             instances: pos_integer() \\ 1,
             config: config() \\ {:values, %{}},
             annotations: values() \\ %{}

  defcommand StopActor,
             "Stops an actor, or so many of its instances whose annotations contain the given ones.",
             id: String.t(),
             instances: pos_integer() | :all \\ :all,
             annotations: values() \\ %{}

  defcommand ScaleActor,
             """
             Sets the instances of an actor: all, or those with exactly the given annotations.

             With `start?`, an actor that does not run is started from `code`, with `config` and `limits`; it must
             have the public key `key`, if that is given. If it runs from other code, `mismatch` decides: refuse
             the command, keep the running code, or update it.
             """,
             id: String.t(),
             instances: non_neg_integer(),
             annotations: values() \\ %{},
             start?: boolean() \\ false,
             code: {:reference, String.t()} | nil \\ nil,
             key: String.t() | nil \\ nil,
             config: config() \\ {:names, []},
             limits: values() \\ %{},
             mismatch: :refuse | :keep | :update \\ :refuse,
             allow_issuer_change: boolean() \\ false

  defcommand UpdateActor,
             "Replaces the code of an actor; without an `id`, of the actor with the public key of the code.",
             code: code(),
             id: String.t() | nil \\ nil,
             force: boolean() \\ false,
             allow_issuer_change: boolean() \\ false

  defcommand AuctionActor,
             "Asks whether the host would start an actor: its labels must contain `constraints`.",
             reference: String.t(),
             id: String.t() | nil \\ nil,
             constraints: values() \\ %{}

  defcommand StartProvider,
             "Starts a provider. Without an `id`, its name becomes its id.",
             code: code(),
             id: String.t() | nil \\ nil,
             link_name: String.t() | nil \\ nil,
             config: config() \\ {:values, %{}},
             annotations: values() \\ %{}

  defcommand StopProvider, "Stops a provider, by its id, public key or reference.",
    id: String.t(),
    link_name: String.t() | nil \\ nil

  defcommand AuctionProvider,
             "Asks whether the host would start a provider, as `AuctionActor` does.",
             reference: String.t(),
             id: String.t() | nil \\ nil,
             link_name: String.t() | nil \\ nil,
             constraints: values() \\ %{}

  defcommand PutLink,
             """
             Makes a link. Without `replace?`, it is refused if the source has a link of the same contract and name
             to another target.
             """,
             source: String.t(),
             target: String.t(),
             contract: String.t(),
             name: String.t() \\ "default",
             interfaces: [String.t()] \\ [],
             source_config: values() \\ %{},
             target_config: values() \\ %{},
             source_configs: [String.t()] \\ [],
             target_configs: [String.t()] \\ [],
             replace?: boolean() \\ true

  defcommand DeleteLink, "Removes a link.",
    source: String.t(),
    contract: String.t(),
    name: String.t() \\ "default"

  defcommand Links,
             "Lists links: of the host, with their status, or of the lattice, as far as they are in force here.",
             of: :host | :lattice

  defcommand Claims,
             "Lists the claims that the host knows of actors and providers in the lattice."

  defcommand PutConfig, "Stores a configuration under a name.", name: String.t(), values: values()

  defcommand GetConfig, "Reads a stored configuration.", name: String.t()
  defcommand DeleteConfig, "Deletes a stored configuration.", name: String.t()

  defcommand PutLabel, "Sets a label of the host.", key: String.t(), value: String.t()
  defcommand DeleteLabel, "Removes a label of the host.", key: String.t()

  defcommand PutRegistries, "Keeps credentials for registries, by the names of the registries.",
    registries: %{optional(String.t()) => Credentials.t()}

  defcommand ApplyManifest,
             "Stores the manifest in a file as the newest version of its application.",
             manifest: Path.t(),
             allow_issuer_change: boolean() \\ false,
             if_version: non_neg_integer() | nil \\ nil

  defcommand PutApp,
             """
             As `ApplyManifest`, with objects of the lattice in place of files: the digests of the manifest and of
             the files that it names. `path` is where the manifest was on its machine.
             """,
             manifest: String.t(),
             path: Path.t(),
             files: %{optional(Path.t()) => String.t()} \\ %{},
             allow_issuer_change: boolean() \\ false,
             if_version: non_neg_integer() | nil \\ nil

  defcommand AppFiles, "Lists the files that a manifest names, for `PutApp`.",
    manifest: String.t(),
    path: Path.t()

  defcommand ListApps, "Lists the applications."

  defcommand AppStatus, "Shows which parts of an application run where, and which are missing.",
    app: String.t()

  defcommand AppHistory, "Lists the versions of an application.", app: String.t()

  defcommand StoreManifest,
             "Stores the text of a manifest as the newest version of its application, and deploys nothing.",
             text: binary()

  defcommand GetManifest,
             """
             Reads the manifest of an application, in the version with a label or in the newest. Without an `app`,
             lists the applications.
             """,
             app: String.t() | nil \\ nil,
             version: String.t() | nil \\ nil

  defcommand DeployApp,
             "Deploys a version of an application, by number or label; without one, the newest that did not fail.",
             app: String.t(),
             version: non_neg_integer() | String.t() | nil \\ nil

  defcommand UndeployApp, "Stops an application on all hosts, and keeps its versions.",
    app: String.t()

  defcommand RollbackApp, "Deploys the version before the current one.", app: String.t()

  defcommand DeleteApp,
             "Stops an application on all hosts, and forgets it; or only its version with a label.",
             app: String.t(),
             version: String.t() | nil \\ nil

  defcommand Subscribe, "Sends the events of the host to the client, from now on."
  defcommand OpenRemote, "Opens the VM of the host for `exosuit remote`."
  defcommand StopHost, "Stops the host, after its running calls."

  @doc """
  The subject of a command: commands with the same subject run in the order in which they came. Each query has a
  subject of its own.

  An order is needed where a later command builds on an earlier one: a stop after a start, two values of one label.
  All others run at the same time (`Exosuit.Control.Lanes`), so that a slow start delays nobody else.

      iex> alias Exosuit.Model.Command
      iex> Command.subject(%Command.StopActor{id: "echo"})
      {:actor, "echo"}
      iex> Command.subject(%Command.ScaleActor{id: "echo", instances: 2})
      {:actor, "echo"}
      iex> Command.subject(%Command.Ping{}) == Command.subject(%Command.Ping{})
      false
  """
  @spec subject(t()) :: term()
  def subject(%StartActor{code: code}), do: {:code, code}

  def subject(%module{} = it) when module in [StopActor, ScaleActor], do: {:actor, it.id}
  def subject(%UpdateActor{id: nil, code: {_kind, code}}), do: {:actor, code}
  def subject(%UpdateActor{id: id}), do: {:actor, id}
  def subject(%module{}) when module in [StartProvider, StopProvider], do: :providers

  def subject(%module{} = it) when module in [PutLink, DeleteLink],
    do: {:link, it.source, it.contract}

  def subject(%module{} = it) when module in [PutConfig, DeleteConfig], do: {:config, it.name}
  def subject(%module{}) when module in [PutLabel, DeleteLabel], do: :labels
  def subject(%PutRegistries{}), do: :registries

  def subject(%module{} = it) when module in [DeployApp, UndeployApp, RollbackApp, DeleteApp],
    do: {:app, it.app}

  def subject(_query), do: make_ref()
end
