defmodule Exosuit.LocalLinksTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.{Directory, Router}
  alias Exosuit.Host.{Links, Replica}
  alias Exosuit.Lattice.Local.Writer

  # Links and configurations of a host without NATS, which go through the store as those of a lattice do.

  @link [source: "a", target: "kv", contract: "wasi:keyvalue"]
  @key Keyword.take(@link, [:source, :contract])

  describe "a link that names a configuration" do
    test "waits until it is stored, and again when it was deleted" do
      host = start_supervised_host!()
      link = @link ++ [target_configs: ["db"]]
      :ok = Exosuit.put_link(host, link)
      assert Exosuit.links(host) == []
      assert [%{status: :refused, error: error}] = Exosuit.inventory(host).links
      assert error =~ ~s(there is no configuration "db")

      :ok = Exosuit.put_config(host, "db", %{"bucket" => "one"})

      assert [%{target_config: %{"bucket" => "one"}, target_configs: ["db"]}] =
               Exosuit.links(host)

      :ok = Exosuit.delete_config(host, "db")
      assert Exosuit.links(host) == []
      assert [%{status: :refused}] = Exosuit.inventory(host).links
      assert {:error, %Error{reason: :not_found}} = Exosuit.get_config(host, "db")

      :ok = Exosuit.put_config(host, "db", %{"bucket" => "two"})
      assert [%{target_config: %{"bucket" => "two"}}] = Exosuit.links(host)
      :ok = Exosuit.delete_link(host, @key)
      assert Exosuit.inventory(host).links == []
    end
  end

  describe "when a process is killed" do
    test "that follows the store, links stay, and can be changed" do
      host = start_supervised_host!()
      :ok = Exosuit.put_config(host, "db", %{"bucket" => "one"})
      :ok = Exosuit.put_link(host, @link ++ [target_configs: ["db"]])
      links = Exosuit.links(host)
      restart(host, Replica)
      assert Exosuit.links(host) == links

      :ok = Exosuit.put_config(host, "db", %{"bucket" => "two"})
      assert [%{target_config: %{"bucket" => "two"}}] = Exosuit.links(host)
      restart(host, Replica)
      :ok = Exosuit.delete_link(host, @key)
      assert Exosuit.links(host) == []
      assert {:error, %Error{reason: :not_found}} = Exosuit.delete_link(host, @key)
    end

    test "that follows the store, whose link this is stays known" do
      host = start_supervised_host!()
      :ok = Exosuit.put_link(host, @link ++ [outlives: true])
      restart(host, Replica)
      restart(host, Links)
      eventually(fn -> process(host, Replica) end)
      :ok = Exosuit.put_config(host, "other", %{})
      assert [%{outlives: true}] = Exosuit.links(host)
    end

    test "that writes the store, links stay, and can be changed" do
      host = start_supervised_host!(data_dir: tmp_dir!())
      :ok = Exosuit.put_link(host, @link)
      restart(host, Writer)
      assert [_link] = Exosuit.links(host)
      assert :ok = eventually(fn -> put(host, @link ++ [name: "other"]) end)
      assert [_one, _other] = Exosuit.links(host)
      :ok = Exosuit.delete_link(host, @key)
      assert [%{name: "other"}] = Exosuit.links(host)
    end

    test "while it writes a link, the next write of that link works" do
      host = start_supervised_host!()
      parent = self()

      writer =
        spawn(fn ->
          Replica.write(instance(host), {"a", "wasi:keyvalue", "default"}, :keep, fn ->
            send(parent, :writing)
            receive do: (:never -> {:error, nil})
          end)
        end)

      assert_receive :writing, 10_000
      kill(writer)
      assert :ok = Exosuit.put_link(host, @link)
      assert [%{target: "kv"}] = Exosuit.links(host)
    end
  end

  test "after a restart on a data directory, configurations are there, and links of applications" do
    dir = tmp_dir!()
    manifest = manifest!()
    host = start_supervised_host!(data_dir: dir)
    :ok = Exosuit.put_config(host, "db", %{"bucket" => "one"})
    :ok = Exosuit.put_link(host, @link)
    {:ok, _outcomes, []} = Exosuit.apply_manifest(host, manifest)
    stop_supervised!(host)

    host = start_supervised_host!(data_dir: dir)
    assert {:ok, %{"bucket" => "one"}} = Exosuit.get_config(host, "db")
    assert eventually(fn -> match?([%{source: "app-echo"}], Exosuit.links(host)) end)
    assert [%{target: "app-keyvalue", target_config: %{"bucket" => "one"}}] = Exosuit.links(host)
    # Nobody has made this one again.
    assert {:error, %Error{reason: :not_found}} = Exosuit.delete_link(host, @key)
  end

  test "a source may have more links than a record of wasmCloud 1.x holds" do
    host = start_supervised_host!()
    link = &Keyword.merge(@link, name: "l#{&1}", interfaces: ["store"])
    for n <- 1..1_001, do: :ok = Exosuit.put_link(host, link.(n))
    assert length(Exosuit.links(host)) == 1_001
    assert map_size(Router.link_states(instance(host).router)) == 1_001
  end

  defp manifest! do
    echo_manifest!("""
          traits:
            - type: link
              properties:
                target: keyvalue
                namespace: wasmcloud
                package: keyvalue
                target_config: [{name: db}]
        - name: keyvalue
          type: capability
          properties:
            image: wasmcloud+builtin://keyvalue
    """)
  end

  defp put(host, link) do
    with {:error, %Error{reason: :unavailable}} <- Exosuit.put_link(host, link), do: nil
  end

  defp restart(host, role) do
    pid = process(host, role)
    kill(pid)
    eventually(fn -> process(host, role) not in [nil, pid] end)
  end

  defp process(host, role), do: GenServer.whereis(Directory.via(host, role))
  defp instance(host), do: Directory.fetch!(host, :instance)
end
