defmodule Exosuit.Config do
  @moduledoc """
  The options of a host, checked once (`new!/1`). The host's processes get them in an `Exosuit.Instance`.

  The schema of this module is the only list of these options. The docs of `Exosuit` are generated from it, and
  `Exosuit.Options` checks by it. Nothing checks an option again. An option that is read while a host runs is read from
  `instance.config`, and never changes; labels and registries, which do, are in `Exosuit.Settings`.

  `inspect/1` shows the name of the host alone: options may hold secrets, and crash reports show them.

  To add an option, add it to the type and to the schema, and read it where it is needed.
  """

  alias Exosuit.Config.Nats
  alias Exosuit.{Input, Options}
  alias Exosuit.Model.Labels

  @typedoc """
  All options, with their defaults. `exosuit`'s own labels (`hostcore.*`) are among `labels`.
  """
  @type t :: %__MODULE__{
          name: atom(),
          lattice: String.t(),
          labels: %{optional(String.t()) => String.t()},
          data_dir: Path.t() | nil,
          identity: :keep | :new,
          actors: [tuple() | Path.t()],
          start_providers: [tuple() | String.t() | module()],
          put_links: [keyword()],
          manifests: [Path.t()],
          providers: %{optional(String.t()) => module()},
          trusted_issuers: :any | [String.t()],
          unsigned: :deny | :allow,
          legacy_hash: :check | :ignore,
          links: :lenient | :strict,
          call_timeout: pos_integer(),
          max_depth: pos_integer(),
          memory_limit: pos_integer(),
          queue: pos_integer(),
          compile: [time: pos_integer(), memory: pos_integer()],
          restart_wait: non_neg_integer(),
          health_interval: pos_integer(),
          drain_timeout: non_neg_integer(),
          http_ports: %{optional(:inet.port_number()) => :inet.port_number()},
          local_first: boolean(),
          allow_file_load: boolean() | [Path.t()],
          wadm_api: boolean(),
          simulation: keyword() | nil,
          nats: Nats.t() | nil
        }

  @compile_limits [
    time: [
      type: :pos_integer,
      default: 300_000,
      doc: "milliseconds after which a compile is stopped."
    ],
    memory: [
      type: :bytes,
      default: 4_294_967_296,
      doc: "bytes of memory beyond which a compile is stopped."
    ]
  ]
  @schema [
    name: [type: :atom, doc: "the host's name in this VM; every function of `Exosuit` takes it."],
    trusted_issuers: [
      type: {":any, or a list of account keys (`A…`)", &__MODULE__.issuers?/1},
      doc: "the issuers whose actors may run; `:any` accepts every valid signature."
    ],
    unsigned: [
      type: {:in, [:deny, :allow]},
      default: :deny,
      doc: "whether actors without a token may run. If so, only their links restrict them."
    ],
    legacy_hash: [
      type: {:in, [:check, :ignore]},
      default: :check,
      doc: "whether old tokens (`wascap_revision` below 3) must match the hash of their module."
    ],
    links: [
      type: {:in, [:lenient, :strict]},
      default: :lenient,
      doc:
        "how to treat a module with imports that no link could satisfy: `:lenient` starts it with a " <>
          "warning, and a call of such an import fails; `:strict` refuses it before it is compiled."
    ],
    lattice: [type: :string, default: "default", doc: "the name that hosts of one lattice share."],
    labels: [
      type: :string_map,
      default: %{},
      doc:
        "the labels that the spreads of a manifest may require. The host sets `hostcore.arch`, " <>
          "`hostcore.os` and `hostcore.osfamily`."
    ],
    data_dir: [
      type: {"a path or nil", &__MODULE__.path?/1},
      default: nil,
      doc:
        "the directory of the host's identity, its applications, its providers' files and its control " <>
          "socket (`Exosuit.Control`). Without it, data is kept in memory, and the host has no socket."
    ],
    identity: [
      type: {:in, [:keep, :new]},
      default: :keep,
      doc:
        "`:keep` stores the host's key and friendly name in the data directory, so the host keeps them " <>
          "after a restart. With `:new`, or without a data directory, it gets new ones at each start."
    ],
    actors: [
      type: {"a list of {code, options} as of Exosuit.start_actor/3", &__MODULE__.items?/1},
      default: [],
      doc:
        "actors to start with the host; in `[visitor: \"priv/visitor_s.wasm\"]`, `visitor` is the " <>
          "actor's id."
    ],
    start_providers: [
      type:
        {"a list of {provider, options} as of Exosuit.start_provider/3", &__MODULE__.items?/1},
      default: [],
      doc: "providers to start with the host, after the actors."
    ],
    put_links: [
      type: {"a list of links as of Exosuit.put_link/2", &__MODULE__.links?/1},
      default: [],
      doc: "links to make when the host starts, after the providers."
    ],
    manifests: [
      type: {"a list of paths", &__MODULE__.paths?/1},
      default: [],
      doc: "manifests to apply when the host starts, after the links."
    ],
    providers: [
      type: {"a map from names to modules that use Exosuit.Provider", &__MODULE__.providers?/1},
      default: %{},
      doc: "modules that manifests may name as `exosuit+module://NAME`."
    ],
    call_timeout: [
      type: :milliseconds,
      default: 5_000,
      doc: "the timeout in milliseconds of calls that do not set a timeout."
    ],
    max_depth: [
      type: :depth,
      default: 16,
      doc: "how deeply calls may be nested."
    ],
    memory_limit: [
      type: :bytes,
      default: 268_435_456,
      doc: "bytes of linear memory that an instance may have, unless its actor has its own limit."
    ],
    queue: [
      type: :number,
      default: 1_024,
      doc:
        "calls that may wait for an instance of one actor; further calls are refused as overloaded."
    ],
    compile: [
      type: {:options, @compile_limits},
      doc:
        "limits of one compile; a module that exceeds them does not run, and others are unaffected."
    ],
    restart_wait: [
      type: :wait,
      default: 5_000,
      doc: "milliseconds that a call waits for an actor whose process is being restarted."
    ],
    health_interval: [
      type: :pos_integer,
      default: 30_000,
      doc:
        "milliseconds between two health checks of a provider. After two failures in a row, the provider " <>
          "is restarted."
    ],
    drain_timeout: [
      type: :wait,
      default: 10_000,
      doc: "milliseconds that running calls have to finish when the host stops."
    ],
    http_ports: [
      type: {"a map from ports to ports", &__MODULE__.ports?/1},
      default: %{},
      doc:
        "for several hosts on one machine: with `%{8080 => 9080}`, HTTP servers listen on port 9080 " <>
          "if a link says 8080."
    ],
    local_first: [
      type: :boolean,
      default: true,
      doc: "whether calls prefer a target on this host to the same target on other hosts."
    ],
    allow_file_load: [
      type: {"true, false, or a list of absolute directories", &__MODULE__.files?/1},
      default: false,
      doc:
        "the files of this machine that commands of the lattice may start: all (`true`), none (`false`), " <>
          "or those below the given directories."
    ],
    simulation: [
      type: {"[clock: reference, seed: 64-bit integer], or nil", &__MODULE__.simulation?/1},
      default: nil,
      doc:
        "only for tests: the time and the random numbers that guests see instead of the machine's. " <>
          "`Exosuit.Case` sets it."
    ],
    wadm_api: [
      type: :boolean,
      default: false,
      doc:
        "whether the host answers the API of wadm for its applications, so that tools for wadm work. The " <>
          "host does not start if wadm itself answers already."
    ],
    nats: [
      type: {:secret, {"options, or nil", &Nats.options?/1}},
      default: nil,
      doc:
        "how the host joins a lattice over NATS, see below; without it, the host is a lattice of its own."
    ]
  ]

  defstruct Keyword.keys(@schema)

  @doc "The options of a host, and those of `:nats`, as Markdown."
  @spec docs() :: String.t()
  def docs do
    Options.docs(@schema) <> "\n\nThe options of `:nats`:\n\n" <> Nats.docs()
  end

  @doc """
  Checks the options; raises `ArgumentError` with what was expected.

  Besides the form of each option, checks that some actor may run (`:trusted_issuers`, `:unsigned`), and that labels and
  names of providers fit into the host's beat (`Exosuit.Model.Labels`).

      iex> config = Exosuit.Config.new!(name: MyApp.Host, trusted_issuers: :any)
      iex> {config.lattice, config.call_timeout, is_map_key(config.labels, "hostcore.os")}
      {"default", 5_000, true}
  """
  @spec new!(keyword()) :: t()
  def new!(options) do
    config = struct!(__MODULE__, options |> Options.validate!(@schema) |> check_trust!())
    nats = config.nats && Nats.new!(config.nats)
    check_room!(%{config | nats: nats, labels: Map.merge(config.labels, machine())})
  end

  defp check_room!(config) do
    for {option, result} <- [
          labels: Labels.check(config.labels),
          providers: Labels.check_names(Map.keys(config.providers))
        ],
        {:error, detail} <- [result],
        do: raise(ArgumentError, "the option :#{option} is too large: #{detail}")

    config
  end

  # A host without trusted issuers can run no actor, unless it allows unsigned ones.
  defp check_trust!(options) do
    if options[:trusted_issuers] == [] and options[:unsigned] == :deny do
      raise ArgumentError,
            "expected :trusted_issuers to name an account key (`A…`), or :unsigned to be :allow: " <>
              "with neither, no actor may run"
    end

    options
  end

  @doc false
  def simulation?(nil), do: true

  def simulation?(options) do
    Keyword.keyword?(options) and Enum.all?(options, &simulated?/1)
  end

  defp simulated?({_key, nil}), do: true
  defp simulated?({:clock, clock}), do: is_reference(clock)
  defp simulated?({:seed, seed}), do: seed in 0..0xFFFF_FFFF_FFFF_FFFF
  defp simulated?(_other), do: false

  @doc false
  def issuers?(:any), do: true

  def issuers?(issuers) do
    is_list(issuers) and not List.improper?(issuers) and Enum.all?(issuers, &account_key?/1)
  end

  @doc false
  def ports?(ports) do
    is_map(ports) and not is_struct(ports) and
      Enum.all?(ports, fn {one, other} ->
        Input.within?(:port, one) and Input.within?(:port, other)
      end)
  end

  @doc false
  def path?(path), do: is_nil(path) or (is_binary(path) and path != "" and String.valid?(path))

  @doc false
  def files?(files) when is_boolean(files), do: true

  def files?(files) do
    is_list(files) and not List.improper?(files) and
      Enum.all?(files, &(path?(&1) and &1 != nil and Path.type(&1) == :absolute))
  end

  @doc false
  def paths?(paths), do: proper?(paths) and Enum.all?(paths, &(&1 != nil and path?(&1)))

  @doc false
  def links?(links), do: proper?(links) and Enum.all?(links, &Keyword.keyword?/1)

  @doc false
  def items?(items), do: proper?(items) and Enum.all?(items, &item?/1)

  defp item?({_what, options}) when is_list(options), do: Keyword.keyword?(options)
  defp item?({id, path}), do: is_atom(id) and is_binary(path)
  defp item?(what), do: is_binary(what) or is_atom(what)

  defp proper?(list), do: is_list(list) and not List.improper?(list)

  @doc false
  def providers?(providers) do
    is_map(providers) and not is_struct(providers) and
      Enum.all?(providers, fn {name, module} ->
        is_binary(name) and String.valid?(name) and
          Options.provider?(module)
      end)
  end

  # The names of the architecture and the system in Rust.
  defp machine do
    {family, name} = :os.type()

    [architecture | _vendor] =
      String.split(to_string(:erlang.system_info(:system_architecture)), "-")

    %{
      "hostcore.arch" => architecture,
      "hostcore.os" => if(name == :darwin, do: "macos", else: to_string(name)),
      "hostcore.osfamily" => if(family == :win32, do: "windows", else: to_string(family))
    }
  end

  defp account_key?(key), do: is_binary(key) and key =~ ~r/\AA[A-Z2-7]{55}\z/

  defimpl Inspect do
    # Shows the name alone: a crash report needs no more, and options may hold secrets.
    def inspect(config, _options), do: "#Exosuit.Config<#{Kernel.inspect(config.name)}>"
  end
end
