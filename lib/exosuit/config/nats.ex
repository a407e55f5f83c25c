defmodule Exosuit.Config.Nats do
  @moduledoc """
  The option `:nats` of a host, by which it joins a lattice over NATS: checked, and with defaults.

  The options of both connections may be given once, at the top; `rpc: [...]` has those that differ for calls. After the
  check, `control` and `rpc` have all options of a connection each.

  Secrets are given in a form of `Exosuit.Secret`: a text, `{:env, name}` or `{:file, path}`.
  `Exosuit.Lattice.Nats.keep_secrets/1` replaces them with handles before the host starts. `inspect/1` shows nothing.
  """

  alias Exosuit.{Options, Secret}

  @typedoc "A secret as it was given, and later its handle."
  @type secret :: Secret.source()
  @type connection :: %{
          servers: [String.t()] | secret(),
          seed: secret() | nil,
          jwt: secret() | nil,
          credentials: Path.t() | nil,
          user: String.t() | nil,
          password: secret() | nil,
          token: secret() | nil,
          tls: boolean(),
          tls_first: boolean(),
          tls_ca: Path.t() | nil,
          tls_certificate: Path.t() | nil,
          tls_key: Path.t() | nil,
          ping_interval: pos_integer(),
          connect_timeout: pos_integer(),
          reconnect_delay: pos_integer()
        }
  @type t :: %__MODULE__{
          control: connection(),
          rpc: connection(),
          domain: String.t() | nil,
          replicas: 1..5,
          state_max_bytes: pos_integer() | nil,
          prefix: String.t(),
          cluster_seed: secret() | nil,
          accepted_cluster_seed: secret() | nil,
          cluster_issuers: [String.t()],
          host_seed: secret() | nil,
          heartbeat_interval: pos_integer()
        }

  @seed {:secret, {"a seed (`S…`) in a form of `Exosuit.Secret`, or nil", &__MODULE__.seed?/1}}
  @secret {:secret, {"a text in a form of `Exosuit.Secret`, or nil", &__MODULE__.secret?/1}}
  @text {:secret, {"a string, or nil", &__MODULE__.text?/1}}
  @path {"a path, or nil", &__MODULE__.text?/1}

  @connection [
    servers: [
      # An address may hold a password.
      type:
        {:secret,
         {"a list of addresses, as in `nats://host:4222`, or a form of `Exosuit.Secret` that has them " <>
            "with commas between", &__MODULE__.servers?/1}},
      default: ["nats://127.0.0.1:4222"],
      doc: "the NATS servers; the host connects to one of them. `tls://` requires TLS."
    ],
    seed: [
      type: @seed,
      default: nil,
      doc: "the seed of a user's key (`SU…`), with or without a `:jwt`."
    ],
    jwt: [type: @secret, default: nil, doc: "the user's JWT; requires the `:seed`."],
    credentials: [
      type: @path,
      default: nil,
      doc: "a file with the JWT and the seed, as `nsc` makes it."
    ],
    user: [type: @text, default: nil, doc: "a user name; requires the `:password`."],
    password: [type: @secret, default: nil, doc: "the user's password."],
    token: [type: @secret, default: nil, doc: "a token that all clients share."],
    tls: [type: :boolean, default: false, doc: "whether the connection requires TLS."],
    tls_first: [type: :boolean, default: false, doc: "whether the connection begins with TLS."],
    tls_ca: [type: @path, default: nil, doc: "the certificate authorities of the server (PEM)."],
    tls_certificate: [type: @path, default: nil, doc: "the host's own certificate (PEM)."],
    tls_key: [type: @path, default: nil, doc: "the key of that certificate (PEM)."],
    ping_interval: [
      type: :milliseconds,
      default: 10_000,
      doc: "milliseconds after which a silent server is pinged."
    ],
    connect_timeout: [
      type: :milliseconds,
      default: 5_000,
      doc: "milliseconds that an attempt to connect may take."
    ],
    reconnect_delay: [
      type: :milliseconds,
      default: 60_000,
      doc:
        "the longest delay between attempts in milliseconds; delays begin with 1 000 and double."
    ]
  ]
  @own [
    rpc: [
      type: {"options of a connection, or nil", &__MODULE__.options?/1},
      default: nil,
      doc: "options of the connection for calls, if they differ from the options here."
    ],
    domain: [type: @path, default: nil, doc: "the JetStream domain of the shared state."],
    replicas: [
      type: :replicas,
      default: 1,
      doc:
        "the number of servers that keep a new bucket, for the shared state and for providers' data."
    ],
    state_max_bytes: [
      type: :bytes,
      default: nil,
      doc:
        "the size limit of each new bucket of the shared state in bytes, for accounts that require a " <>
          "limit."
    ],
    prefix: [
      type: {"a subject without wildcards", &__MODULE__.subject?/1},
      default: "wasmbus.ctl",
      doc: "the prefix of the subjects of commands."
    ],
    cluster_seed: [
      type: @seed,
      default: nil,
      doc:
        "the cluster's seed (`SC…`), which authenticates the calls of this host. Without it, the host " <>
          "makes its own key, and other hosts refuse its calls."
    ],
    accepted_cluster_seed: [
      type: @seed,
      default: nil,
      doc:
        "the seed of a second key of the cluster. Calls with this key are accepted as well, so that one " <>
          "key can replace the other."
    ],
    cluster_issuers: [
      type: {"a list of cluster keys (`C…`)", &__MODULE__.issuers?/1},
      default: [],
      doc: "further clusters whose calls are accepted."
    ],
    host_seed: [type: @seed, default: nil, doc: "the seed of the host's own key (`SN…`)."],
    heartbeat_interval: [
      type: :milliseconds,
      default: 30_000,
      doc: "milliseconds between heartbeats; a host that misses two counts as lost."
    ]
  ]
  @schema @connection ++ @own

  defstruct [:control, :rpc | Keyword.keys(Keyword.delete(@own, :rpc))]

  @doc "The options, as Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "Checks the options; raises `ArgumentError` with what was expected."
  @spec new!(keyword()) :: t()
  def new!(options) do
    {connection, own} =
      options |> Options.validate!(@schema) |> Keyword.split(Keyword.keys(@connection))

    {rpc, own} = Keyword.pop!(own, :rpc)
    rpc = if rpc, do: Options.validate!(rpc, @connection), else: connection
    struct!(__MODULE__, [control: Map.new(connection), rpc: Map.new(rpc)] ++ own)
  end

  @doc false
  def options?(value), do: is_nil(value) or Keyword.keyword?(value)

  @doc false
  def seed?(value) when is_binary(value), do: value =~ ~r/\AS[A-Z2-7]+\z/
  def seed?(value), do: secret?(value)

  # Accepts the forms of `Exosuit.Secret`, which later reads the named place.
  @doc false
  def secret?({:env, name}), do: is_binary(name) and name =~ ~r/\A[^=\0]+\z/
  def secret?({:file, path}), do: text?(path) and path != nil
  def secret?(%Secret{}), do: true
  def secret?(value), do: text?(value)

  @doc false
  def text?(value),
    do: is_nil(value) or (is_binary(value) and value != "" and String.valid?(value))

  @doc false
  def servers?([_ | _] = servers) do
    not List.improper?(servers) and Enum.all?(servers, &(text?(&1) and &1 != nil))
  end

  def servers?(other), do: not is_list(other) and not is_nil(other) and secret?(other)

  @doc false
  def subject?(value) do
    is_binary(value) and String.valid?(value) and value =~ ~r/\A[^\s.*>]+(\.[^\s.*>]+)*\z/
  end

  @doc false
  def issuers?(value) do
    is_list(value) and not List.improper?(value) and
      Enum.all?(value, &(is_binary(&1) and &1 =~ ~r/\AC[A-Z2-7]{55}\z/))
  end

  defimpl Inspect do
    # Seeds, tokens and passwords.
    def inspect(_nats, _options), do: "#Exosuit.Config.Nats<...>"
  end
end
