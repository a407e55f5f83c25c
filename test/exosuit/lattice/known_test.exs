defmodule Exosuit.Lattice.KnownTest do
  use ExUnit.Case, async: true
  use Exosuit.HostCase

  alias Exosuit.{Directory, Json}
  alias Exosuit.Host.Replica
  alias Exosuit.Lattice.{Nats, Store}
  alias Exosuit.Protocol.Otp

  describe "in a lattice" do
    setup do
      server = Exosuit.Nats.start!()
      options = Exosuit.Nats.options(server, cluster_seed: Guests.key("cluster")["seed"])
      [one, two] = for _ <- 1..2, do: start_supervised_host!(nats: options)

      for host <- [one, two],
          do: assert(eventually(fn -> Nats.state(lattice(host).handle).control == :connected end))

      %{server: server, one: one, two: two, dir: tmp_dir!()}
    end

    test "hosts know the claims of each other's actors and providers", it do
      {path, _report} = Guests.sign(it.dir, "echo", caps: ["wasmcloud:keyvalue"], alias: "parrot")
      {:ok, id} = Exosuit.start_actor(it.one, path)
      {:ok, "keyvalue"} = Exosuit.start_provider(it.one, "keyvalue")

      assert eventually(fn -> claims(it.two, id) end)

      assert %{call_alias: "parrot", capabilities: ["wasmcloud:keyvalue"], contract_id: nil} =
               claims(it.two, id)

      assert claims(it.two, id) == claims(it.one, id)
      %{providers: [%{public_key: provider}]} = Exosuit.inventory(it.one)
      assert eventually(fn -> match?(%{name: "keyvalue"}, claims(it.two, provider)) end)
      assert %{contract_id: "wasmcloud:keyvalue"} = claims(it.two, provider)

      reference = "REFMAP_" <> Base.url_encode64("wasmcloud+builtin://keyvalue", padding: false)

      assert eventually(fn ->
               match?({:ok, %{"public_key" => ^provider}}, fetch(it, reference))
             end)

      # What is there already is not written again, nor what is newer.
      {:ok, {_value, revision}} = Store.read(lattice(it.one), :data, Otp.Claims.key(id))
      :ok = Exosuit.stop_actor(it.one, id)
      {:ok, ^id} = Exosuit.start_actor(it.two, path)
      kill(GenServer.whereis(Directory.via(it.two, Exosuit.Edge.ClaimsPublisher)))
      newer(it, id)
      {:ok, {_value, written}} = Store.read(lattice(it.one), :data, Otp.Claims.key(id))
      assert written > revision
      :ok = Exosuit.stop_actor(it.two, id)
      {:ok, ^id} = Exosuit.start_actor(it.one, path)
      {:ok, "http-client"} = Exosuit.start_provider(it.one, "http-client")
      %{providers: providers} = Exosuit.inventory(it.one)
      %{public_key: last} = Enum.find(providers, &(&1.id == "http-client"))
      assert eventually(fn -> claims(it.two, last) end)
      assert {:ok, {_value, ^written}} = Store.read(lattice(it.one), :data, Otp.Claims.key(id))
    end

    test "an actor is called by its alias from another host", it do
      {path, _report} = Guests.sign(it.dir, "echo", alias: "parrot")
      {:ok, id} = Exosuit.start_actor(it.one, path)
      assert eventually(fn -> claims(it.two, id) end)

      assert eventually(fn ->
               Exosuit.call(it.two, "parrot", "echo", "hello") == {:ok, "hello"}
             end)
    end

    test "what is started without a connection is known once there is one", it do
      server = Exosuit.Nats.kill(it.server)
      {path, _report} = Guests.sign(it.dir, "echo")
      assert eventually(fn -> Nats.state(lattice(it.one).handle).control != :connected end)
      {:ok, id} = Exosuit.start_actor(it.one, path)
      Exosuit.Nats.restart!(server)
      assert eventually(fn -> claims(it.two, id) end)
    end

    test "claims that are deleted are forgotten, also by one that did not look", it do
      record = fn key -> Otp.Claims.encode(claims(key)) end
      [first, second] = keys = for letter <- ["B", "C"], do: "M" <> String.duplicate(letter, 55)

      for key <- keys do
        {:ok, value} = record.(key)

        :ok =
          Store.update(lattice(it.one), :data, Otp.Claims.key(key), fn nil -> {:put, value} end)
      end

      for host <- [it.one, it.two],
          key <- keys,
          do: assert(eventually(fn -> claims(host, key) end))

      replica = GenServer.whereis(Directory.via(it.two, Replica))
      :ok = :sys.suspend(replica)
      :ok = Store.delete(lattice(it.one), :data, Otp.Claims.key(first))
      assert eventually(fn -> claims(it.one, first) == nil end)
      kill(replica)
      assert eventually(fn -> claims(it.two, first) == nil end)
      assert claims(it.two, second)
    end
  end

  defp newer(it, id) do
    newer = %{claims(id) | revision: 4_000_000_000}
    {:ok, value} = Otp.Claims.encode(newer)
    :ok = Store.update(lattice(it.one), :data, Otp.Claims.key(id), fn _old -> {:put, value} end)
  end

  defp claims(key) do
    %{
      subject: key,
      issuer: "A",
      name: nil,
      revision: 1,
      version: nil,
      call_alias: nil,
      capabilities: [],
      tags: [],
      contract_id: nil
    }
  end

  defp claims(host, key), do: Enum.find(Exosuit.claims(host), &(&1.subject == key))
  defp lattice(host), do: Directory.fetch!(host, :instance).lattice

  defp fetch(it, key) do
    with {:ok, value} when value != nil <- Store.get(lattice(it.one), :data, key),
         do: Json.decode(value)
  end
end
