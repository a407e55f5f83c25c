defmodule Exosuit.Bench.Lattice do
  @moduledoc false
  # Calls over NATS, 100 bytes there and back: from a client with MACs as hosts of one cluster have them,
  # from one that signs as the peers do, and from one host of a lattice to another. The floor gets the
  # same messages and sends them back.

  alias Exosuit.Bench.{Calls, Floor, Measure, Nats, Row}
  alias Exosuit.Lattice

  @lattice "bench"
  @depths [1, 8, 64, 256]
  # A multiple of them all.
  @calls 10_240
  @patience 30_000

  @spec rows(Floor.t(), Nats.t(), (String.t() -> Path.t())) :: [Row.t()]
  def rows(floor, nats, guest) do
    {:ok, {issuer, seed}} = Exosuit.Claims.generate_key("cluster")
    [near, far] = for name <- [:near, :far], do: host(Module.concat(__MODULE__, name), nats, seed)
    [fresh, warm] = for {name, options} <- actors(), do: actor(far, guest.(name), options)
    for actor <- [fresh, warm], do: await(fn -> reach?(near, actor) end)

    :ok = Nats.echo(nats, "raw", "signed")
    :ok = Nats.echo(nats, "raw-mac", "mac")
    :ok = Nats.echo(nats, "checked", "signed", [issuer])

    ask = fn kind, subject, depth, actor ->
      Floor.nats(floor, {kind, nats.url, subject, seed, actor}, depth, @calls)
    end

    sent_back = fn subject, depth -> fn -> ask.("raw", subject, depth, fresh) end end
    raw = &sent_back.("raw", &1)

    raw_mac = fn depth -> fn -> ask.("raw-mac", "raw-mac", depth, fresh) end end
    mac = fn actor, depth -> fn -> ask.("mac", @lattice, depth, actor) end end

    client = fn actor, depth ->
      fn -> ask.("signed", "wasmbus.rpc.#{@lattice}.#{actor}", depth, actor) end
    end

    by_mac =
      Enum.flat_map(@depths, fn depth ->
        from_nats(depth, [raw_mac.(depth), mac.(fresh, depth), mac.(warm, depth)], by_mac(depth))
      end)

    signed = [raw.(64), sent_back.("checked", 64), client.(fresh, 64), client.(warm, 64)]
    by_mac ++ from_nats(64, signed, signed()) ++ across(near, fresh, raw_mac)
  end

  @doc "A host in a lattice over this server, once it is connected."
  @spec host(atom(), Nats.t(), String.t() | nil, String.t()) :: atom()
  def host(name, nats, seed, lattice \\ @lattice) do
    options = [servers: [nats.url], cluster_seed: seed]
    own = [name: name, lattice: lattice, nats: options, trusted_issuers: :any, unsigned: :allow]
    {:ok, _supervisor} = Supervisor.start_link([{Exosuit, own}], strategy: :one_for_one)
    await(fn -> match?(%{control: :connected, rpc: :connected}, state(name)) end)
    name
  end

  @doc "Waits until it is true: what hosts hear of each other comes when it comes."
  @spec await((() -> boolean()), integer()) :: :ok
  def await(true?, until \\ System.monotonic_time(:millisecond) + @patience) do
    cond do
      true?.() ->
        :ok

      System.monotonic_time(:millisecond) > until ->
        raise "the hosts do not become what they should within #{@patience} ms"

      true ->
        Process.sleep(1)
        await(true?, until)
    end
  end

  defp by_mac(depth) do
    goal = if depth == 64, do: {:at_least, 0.6, :ratio}
    [{"NATS → actor, fresh instance", goal}, {"NATS → actor, warm instance", goal}]
  end

  defp signed do
    [
      {"NATS → a raw responder that checks the signature", nil},
      {"NATS → actor, fresh instance, signed", nil},
      {"NATS → actor, warm instance, signed", nil}
    ]
  end

  defp from_nats(depth, measures, names) do
    [raw | ours] = Measure.medians(measures)

    for {{name, goal}, seconds} <- Enum.zip(names, ours) do
      Row.new("#{name}, depth #{depth}", "calls/s", @calls / seconds, @calls / raw, goal)
    end
  end

  defp across(near, actor, raw) do
    [raw_one, one] = Measure.medians([raw.(1), fn -> Calls.seconds(near, actor, 1, @calls) end])
    [raw, many] = Measure.medians([raw.(64), fn -> Calls.seconds(near, actor, 64, @calls) end])
    what = "Elixir → actor of another host, fresh instance"

    [
      Row.new("#{what}, 1 caller", "µs", each(one), each(raw_one), nil),
      Row.new("#{what}, 64 callers", "calls/s", @calls / many, @calls / raw, nil)
    ]
  end

  defp each(seconds), do: seconds * 1_000_000 / @calls

  defp actors, do: [{"echo-signed", []}, {"echo-warm-signed", [warm: []]}]

  # By its public key, as the peers know it.
  defp actor(host, wasm, options) do
    {:ok, key} = Exosuit.start_actor(host, wasm, [instances: 64] ++ options)
    key
  end

  defp reach?(host, actor), do: Exosuit.call(host, actor, "Echo.Say", "x") == {:ok, "x"}

  defp state(host),
    do: Lattice.Nats.state(Exosuit.Directory.fetch!(host, :instance).lattice.handle)
end
