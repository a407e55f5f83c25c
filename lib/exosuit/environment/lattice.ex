defmodule Exosuit.Environment.Lattice do
  @moduledoc """
  The environment variables with which a host joins a lattice.

  There are three families: `EXOSUIT_LATTICE` and its companions, those of the OTP era (`WASMCLOUD_CTL_…` and
  `WASMCLOUD_RPC_…`, one for each connection), and those of 1.x (`WASMCLOUD_NATS_…`, which name one server for both
  connections). `guides/release.md` lists them.

  | which one counts | |
  |---|---|
  | servers | that of the connection, then `EXOSUIT_LATTICE`, that of both, that of the other connection |
  | credentials, seeds, certificates | a variable of the connection, then one for both |
  | the name of the lattice | both variables may be set, if they are equal |

  Without the address of a server, the host has no NATS, and `warnings/1` names the variables without effect. A host
  name with a password in it is refused: options are kept and shown, so such an address must be in a variable of
  secrets.
  """

  alias Exosuit.Environment.Variables

  @names ["WASMCLOUD_LATTICE", "WASMCLOUD_LATTICE_PREFIX"]
  @cluster_seeds ["EXOSUIT_CLUSTER_SEED", "WASMCLOUD_CLUSTER_SEED"]

  # Variables without effect unless another one has the address of a server.
  @needs_servers [
    "EXOSUIT_LATTICE_",
    "WASMCLOUD_LATTICE",
    "WASMCLOUD_NATS_",
    "WASMCLOUD_CTL_",
    "WASMCLOUD_RPC_",
    "WASMCLOUD_JS_DOMAIN",
    "EXOSUIT_JETSTREAM_",
    "WASMCLOUD_CLUSTER_",
    "EXOSUIT_CLUSTER_SEED",
    "EXOSUIT_WADM_API",
    "WASMCLOUD_HEARTBEAT_INTERVAL"
  ]
  @without_lattice ["WASMCLOUD_RPC_TIMEOUT_MS"]

  @doc """
  The options of a host from the variables. Those that no variable sets are left out; without servers, `nats` is one of
  them. A value may be `{:mistake, text}` instead.
  """
  @spec read(Variables.env()) :: keyword()
  def read(env) do
    [
      lattice: name(env),
      labels: Variables.labels(env),
      allow_file_load: Variables.read(env, "WASMCLOUD_ALLOW_FILE_LOAD"),
      call_timeout: Variables.read(env, "WASMCLOUD_RPC_TIMEOUT_MS"),
      memory_limit: Variables.read(env, "WASMCLOUD_MAX_LINEAR_MEMORY"),
      http_ports: Variables.read(env, "EXOSUIT_HTTP_PORTS"),
      wadm_api: Variables.read(env, "EXOSUIT_WADM_API"),
      nats: nats(env)
    ]
    |> given()
  end

  @doc """
  Warnings about variables of a lattice that have no effect, because none has the address of a server.
  """
  @spec warnings(Variables.env()) :: [String.t()]
  def warnings(env) do
    useless =
      for {name, value} <- Enum.sort(env),
          value != "" and name not in @without_lattice,
          String.starts_with?(name, @needs_servers),
          do: name

    if useless == [] or nats(env) != nil, do: [], else: [alone(useless)]
  end

  defp alone(names) do
    "#{Enum.join(names, ", ")}: nothing says where the NATS servers of the lattice are, and this host is " <>
      "one by itself; name them with EXOSUIT_LATTICE, or WASMCLOUD_NATS_HOST as in 1.x"
  end

  # The lattice's name has two variables.
  defp name(env) do
    case @names |> Enum.map(&Variables.read(env, &1)) |> Enum.reject(&is_nil/1) |> Enum.uniq() do
      [] ->
        nil

      [name] ->
        name

      several ->
        {:mistake, "#{Enum.join(@names, " and ")} name two lattices: #{inspect(several)}"}
    end
  end

  defp nats(env) do
    common = addresses(env) || server(env, "NATS")
    control = server(env, "CTL")
    rpc = server(env, "RPC")

    cond do
      mistake = Enum.find([common, control, rpc], &match?({:mistake, _text}, &1)) -> mistake
      common || control || rpc -> options(env, control || common || rpc, rpc || common || control)
      true -> nil
    end
  end

  # An address may hold a password, so only the name of its variable is passed on.
  defp addresses(env) do
    if Variables.read(env, "EXOSUIT_LATTICE"), do: {:env, "EXOSUIT_LATTICE"}
  end

  defp options(env, control, rpc) do
    own = [
      domain: Variables.read(env, "WASMCLOUD_JS_DOMAIN"),
      replicas: Variables.read(env, "EXOSUIT_JETSTREAM_REPLICAS"),
      state_max_bytes: Variables.read(env, "EXOSUIT_JETSTREAM_MAX_BYTES"),
      prefix: Variables.read(env, "WASMCLOUD_CTL_TOPIC_PREFIX"),
      cluster_seed: Variables.first(env, @cluster_seeds),
      cluster_issuers: Variables.read(env, "WASMCLOUD_CLUSTER_ISSUERS"),
      host_seed: Variables.read(env, "WASMCLOUD_HOST_SEED"),
      heartbeat_interval: heartbeat(Variables.read(env, "WASMCLOUD_HEARTBEAT_INTERVAL")),
      rpc: connection(env, "RPC", rpc)
    ]

    given(connection(env, "CTL", control) ++ own)
  end

  defp heartbeat(seconds) when is_integer(seconds), do: seconds * 1_000
  defp heartbeat(none_or_mistake), do: none_or_mistake

  # A variable for one connection takes precedence over one for both.
  defp connection(env, side, servers) do
    of_both = &["WASMCLOUD_#{side}_#{&1}", "WASMCLOUD_NATS_#{&1}"]

    given(
      servers: servers,
      seed: Variables.first(env, of_both.("SEED")),
      jwt: Variables.first(env, of_both.("JWT")),
      credentials: Variables.first(env, of_both.("CREDS") ++ ["EXOSUIT_LATTICE_CREDS"]),
      tls: Variables.read(env, "WASMCLOUD_#{side}_TLS") || false,
      tls_first: Variables.read(env, "WASMCLOUD_#{side}_TLS_FIRST"),
      tls_ca: Variables.first(env, ["WASMCLOUD_#{side}_TLS_CA_FILE", "EXOSUIT_LATTICE_CA"]),
      tls_certificate: Variables.read(env, "EXOSUIT_LATTICE_CERTIFICATE"),
      tls_key: Variables.read(env, "EXOSUIT_LATTICE_KEY")
    )
  end

  # Completes a name without a port, or a port without a name, as the host of the OTP era did.
  defp server(env, side) do
    host = Variables.read(env, "WASMCLOUD_#{side}_HOST")
    port = Variables.read(env, "WASMCLOUD_#{side}_PORT")

    case {host, port} do
      {nil, nil} -> nil
      {{:mistake, _text} = mistake, _port} -> mistake
      {_host, {:mistake, _text} = mistake} -> mistake
      {host, port} -> open_address(side, host || "127.0.0.1", port)
    end
  end

  # Options are kept and shown, so a password must be in a variable that is known to hold a secret.
  defp open_address(side, host, port) do
    if String.contains?(host, "@") do
      {:mistake,
       "WASMCLOUD_#{side}_HOST holds a user or a password: give such an address by EXOSUIT_LATTICE"}
    else
      [address(host, port)]
    end
  end

  defp address(host, port) do
    if host =~ ~r/:\d+\z/ or port == nil, do: host, else: "#{host}:#{port}"
  end

  defp given(options), do: Enum.reject(options, fn {_key, value} -> is_nil(value) end)
end
