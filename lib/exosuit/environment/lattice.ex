defmodule Exosuit.Environment.Lattice do
  @moduledoc false
  # The environment variables that have a host join a lattice: EXOSUIT_LATTICE, and those of the
  # wasmCloud hosts under their old names. guides/lattice.md describes them.

  alias Exosuit.Config

  @type mistake :: {:mistake, String.t()}

  @true_words ~w(1 TRUE YES Y ENABLED ENABLE)

  @doc """
  The options of a host that the variables stand for, with `nats: nil` where none of them asks for
  NATS; a value may be a mistake instead.
  """
  @spec read(%{optional(String.t()) => String.t()}) :: keyword()
  def read(env) do
    [
      lattice: env["WASMCLOUD_LATTICE_PREFIX"],
      labels: labels(env),
      allow_file_load: flag(env["WASMCLOUD_ALLOW_FILE_LOAD"]),
      call_timeout: milliseconds(env, "WASMCLOUD_RPC_TIMEOUT_MS"),
      http_ports: ports(env["EXOSUIT_HTTP_PORTS"]),
      nats: nats(env)
    ]
    |> Enum.reject(fn {_key, value} -> value in [nil, ""] end)
  end

  defp nats(env) do
    control = servers(env, "CTL")
    rpc = servers(env, "RPC")
    common = list(env["EXOSUIT_LATTICE"])

    cond do
      common != [] -> options(env, common, common)
      control || rpc -> options(env, control || rpc, rpc || control)
      true -> nil
    end
  end

  defp options(env, control, rpc) do
    own = [
      domain: env["WASMCLOUD_JS_DOMAIN"],
      prefix: env["WASMCLOUD_CTL_TOPIC_PREFIX"],
      cluster_seed: env["WASMCLOUD_CLUSTER_SEED"],
      cluster_issuers: list(env["WASMCLOUD_CLUSTER_ISSUERS"]),
      host_seed: env["WASMCLOUD_HOST_SEED"],
      rpc: connection(env, "RPC", rpc)
    ]

    given(connection(env, "CTL", control) ++ own)
  end

  defp connection(env, side, servers) do
    given(
      servers: servers,
      seed: env["WASMCLOUD_#{side}_SEED"],
      jwt: env["WASMCLOUD_#{side}_JWT"],
      credentials: env["WASMCLOUD_#{side}_CREDS"] || env["EXOSUIT_LATTICE_CREDS"],
      tls: flag(env["WASMCLOUD_#{side}_TLS"]),
      tls_ca: env["WASMCLOUD_#{side}_TLS_CA_FILE"] || env["EXOSUIT_LATTICE_CA"],
      tls_certificate: env["EXOSUIT_LATTICE_CERTIFICATE"],
      tls_key: env["EXOSUIT_LATTICE_KEY"]
    )
  end

  # A name without a port, or a port alone, is completed as the old host did.
  defp servers(env, side) do
    {host, port} = {env["WASMCLOUD_#{side}_HOST"], env["WASMCLOUD_#{side}_PORT"]}

    if given?(host) or given?(port) do
      [address(if(given?(host), do: host, else: "127.0.0.1"), port)]
    end
  end

  defp address(host, port) do
    if host =~ ~r/:\d+\z/ or not given?(port), do: host, else: "#{host}:#{port}"
  end

  # HOST_<NAME> of the OTP era, WASMCLOUD_LABEL_<NAME> of 1.x.
  defp labels(env) do
    for {variable, value} <- env, name = label(variable), into: %{}, do: {name, value}
  end

  defp label("HOST_CONFIG"), do: nil
  defp label("HOST_" <> name) when name != "", do: String.downcase(name)
  defp label("WASMCLOUD_LABEL_" <> name) when name != "", do: name
  defp label(_other), do: nil

  defp milliseconds(env, variable) do
    case env[variable] do
      value when value in [nil, ""] -> nil
      value -> parse(variable, value)
    end
  end

  defp parse(variable, value) do
    case Integer.parse(value) do
      {number, ""} when number > 0 -> number
      _other -> {:mistake, "expected #{variable} to be milliseconds, got: #{inspect(value)}"}
    end
  end

  defp ports(nil), do: nil

  defp ports(text) do
    Enum.reduce_while(list(text), %{}, fn pair, ports ->
      with [one, other] <- String.split(pair, "="),
           {one, ""} <- Integer.parse(one),
           {other, ""} <- Integer.parse(other),
           true <- Config.ports?(%{one => other}) do
        {:cont, Map.put(ports, one, other)}
      else
        _wrong ->
          expected = "expected EXOSUIT_HTTP_PORTS to be `8080=9080` with commas between them"
          {:halt, {:mistake, "#{expected}, got: #{inspect(pair)}"}}
      end
    end)
  end

  defp flag(value), do: given?(value) and String.upcase(value) in @true_words

  defp list(nil), do: []
  defp list(text), do: text |> String.split(",", trim: true) |> Enum.map(&String.trim/1)

  defp given(options), do: Enum.reject(options, fn {_key, value} -> value in [nil, ""] end)
  defp given?(value), do: is_binary(value) and value != ""
end
