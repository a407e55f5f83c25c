defmodule Exosuit.Host.ActorOptions do
  @moduledoc """
  The options of an actor: of its start (`Exosuit.start_actor/3`) and of its update (`Exosuit.update_actor/4`).

  The schemas of this module are the only list of these options. The docs of `Exosuit` are generated from them, and
  `Exosuit.Options` checks callers by them. Memory limit and queue have the host's value as default, so
  `specification/4` needs the host's `Exosuit.Config`. Arguments, environment and directories may hold secrets, and
  error messages do not show the first two.
  """

  alias Exosuit.{Config, Options}
  alias Exosuit.Model.{ActorSpecification, Artifact, Grants, Limits, Warm}

  @update [
    force: [
      type: :boolean,
      default: false,
      doc: "whether the same revision, and code without claims, is accepted as well."
    ]
  ]
  @issuer_change [
    allow_issuer_change: [
      type: :boolean,
      default: false,
      doc:
        "whether code of another issuer may replace the running code, and inherit its links and data."
    ]
  ]
  @grants [
    arguments: [
      type: {:secret, {"a list of strings without zero bytes", &Grants.arguments?/1}},
      default: [],
      doc: "its command-line arguments, after the name of the program."
    ],
    environment: [
      type:
        {:secret,
         {"a map from names without `=` to strings, without zero bytes", &Grants.environment?/1}},
      default: %{},
      doc: "its environment variables."
    ],
    directories: [
      type:
        {"at most 16 of [host: path, guest: \"/data\", access: :read or :write]",
         &Grants.directories?/1},
      default: [],
      doc:
        "existing directories of this machine, under their names in the guest; without `:access` " <>
          "it may only read. Neither a path nor a symbolic link leads out of them."
    ]
  ]
  @warm [
    pool: [
      type: :number,
      default: %Warm{}.pool,
      doc: "how many idle instances are kept at most; more may run at once."
    ],
    calls: [
      type: :number,
      default: %Warm{}.calls,
      doc:
        "the number of calls after which an instance is dropped, unless a caller has resources in it."
    ],
    idle: [
      type: :milliseconds,
      default: %Warm{}.idle,
      doc: "the milliseconds without a call after which an instance is dropped."
    ]
  ]
  @start [
    id: [type: :string, default: nil, doc: "its id on this host."],
    instances: [type: :instances, default: 1, doc: "how many calls may run at a time."],
    warm: [
      type: {:options, @warm},
      default: nil,
      doc:
        "keeps instances, with the guest's state, between calls; this is faster than a fresh " <>
          "instance for each call. An instance that traps, exits, reaches a limit or is " <>
          "interrupted is dropped. All are dropped when the actor restarts or is updated. `[]` " <>
          "uses the defaults."
    ],
    memory_limit: [
      type: :bytes,
      default: nil,
      doc: "bytes of linear memory of an instance; by default the host's."
    ],
    queue: [
      type: :amount,
      default: nil,
      doc: "calls that may wait while all instances are busy; by default the host's."
    ],
    deadline: [
      type: :milliseconds,
      default: nil,
      doc: "milliseconds that a call may take at most, whatever its caller asks for."
    ],
    resource_idle: [
      type: :milliseconds,
      default: nil,
      doc:
        "milliseconds without a call after which an instance ends that holds resources of a caller " <>
          "(`Exosuit.Resource`); by default five minutes."
    ],
    config: [
      type: :string_map,
      default: %{},
      doc:
        "its configuration, which a component reads by `wasi:config`; a wasmbus actor has no way " <>
          "to read it."
    ],
    grants: [
      type: {:options, @grants},
      doc: "the parts of the host that WASI shows it; none without a grant."
    ],
    annotations: [
      type: :string_map,
      default: %{},
      doc: "annotations, shown in events and the inventory."
    ]
  ]

  @doc "The options of a start, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@start)

  @doc "The options of an update, as Markdown."
  @spec update_docs() :: String.t()
  def update_docs, do: Options.docs(@update ++ @issuer_change)

  @doc """
  The options of a start with their defaults. Raises `ArgumentError` with what was expected.

      iex> options = Exosuit.Host.ActorOptions.start!(id: "shop", instances: 4)
      iex> {options[:id], options[:instances], options[:warm]}
      {"shop", 4, nil}
  """
  @spec start!(keyword()) :: keyword()
  def start!(options), do: Options.validate!(options, @start)

  @doc """
  The options of an update with their defaults. Raises `ArgumentError` with what was expected.

      iex> Enum.sort(Exosuit.Host.ActorOptions.update!(force: true))
      [allow_issuer_change: false, force: true]
  """
  @spec update!(keyword()) :: keyword()
  def update!(options), do: Options.validate!(options, @update ++ @issuer_change)

  @doc "The option `allow_issuer_change`, which all functions that replace actors have."
  @spec issuer_change() :: Options.schema()
  def issuer_change, do: @issuer_change

  @doc """
  The specification of an actor, from options that `start!/1` has checked. `:memory_limit` and `:queue` that are
  `nil` become those of the host. The result has no `app`: actors of an application are specified by its manifest.
  """
  @spec specification(Config.t(), String.t(), Artifact.t(), keyword()) :: ActorSpecification.t()
  def specification(config, id, artifact, options) do
    %ActorSpecification{
      id: id,
      artifact: artifact,
      instances: options[:instances],
      warm: options[:warm] && struct!(Warm, options[:warm]),
      limits: limits(config, options),
      config: options[:config],
      grants: Grants.new(options[:grants]),
      annotations: options[:annotations]
    }
  end

  defp limits(config, options) do
    %Limits{
      memory: options[:memory_limit] || config.memory_limit,
      queue: options[:queue] || config.queue,
      deadline: options[:deadline],
      resource_idle: options[:resource_idle]
    }
  end
end
