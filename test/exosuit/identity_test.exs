defmodule Exosuit.IdentityTest do
  # Who a host is, from one start to the next.
  use Exosuit.HostCase, async: true

  alias Exosuit.Host.Identity

  defp facts(options) do
    host = start_supervised_host!(options)
    facts = Map.take(Exosuit.facts(host), [:host_id, :friendly_name])
    :ok = stop_supervised(host)
    facts
  end

  test "a host that is started again on its data directory is the same one" do
    dir = tmp_dir!()
    first = facts(data_dir: dir)
    assert facts(data_dir: dir) == first
    assert %{host_id: "N" <> _key} = first
  end

  test "its seed is for its owner alone, and in no process" do
    dir = tmp_dir!()
    host = start_supervised_host!(data_dir: dir)
    path = Path.join(dir, "host.nk")
    assert Bitwise.band(File.stat!(path).mode, 0o777) == 0o600
    assert "SN" <> _rest = seed = path |> File.read!() |> String.trim()
    assert {:ok, key} = Exosuit.Claims.public_key("server", seed)
    assert %{host_id: ^key} = Exosuit.facts(host)
    refute inspect(Exosuit.Directory.fetch!(host, :instance), structs: false) =~ seed
  end

  test "without a data directory, or where it is asked for, it is another one each time" do
    refute facts([]) == facts([])
    dir = tmp_dir!()
    refute facts(data_dir: dir, identity: :new) == facts(data_dir: dir, identity: :new)
    assert Path.wildcard(Path.join(dir, "host.*")) == []
  end

  test "a seed that is given goes before the one that is kept, which stays" do
    dir = tmp_dir!()
    kept = facts(data_dir: dir)
    {:ok, {key, seed}} = Exosuit.Claims.generate_key("server")
    config = config(dir, seed)
    assert {:ok, %{public_key: ^key} = given, nil} = Identity.fetch(config)
    assert given.friendly_name == kept.friendly_name
    assert facts(data_dir: dir) == kept
  end

  test "what is damaged or cannot be read is left alone, and said" do
    dir = tmp_dir!()

    for file <- ["host.nk", "host.name"],
        damaged <- ["", "a b", "{\n}", "two words", <<255>>, String.duplicate("a", 200)] do
      path = Path.join(dir, file)
      File.write!(path, damaged)

      assert {:ok, %{public_key: "N" <> _, friendly_name: name}, %Error{reason: :io} = error} =
               Identity.fetch(config(dir))

      assert name =~ ~r/\A[a-z]+-[a-z]+-\d{4}\z/
      assert Exception.message(error) =~ "#{path} cannot be read, or is damaged"
      assert File.read!(path) == damaged
      File.rm!(path)
    end

    # It was made by the fetches of the other file.
    File.rm!(Path.join(dir, "host.nk"))
    File.mkdir!(Path.join(dir, "host.nk"))
    assert {:ok, _identity, %Error{reason: :io}} = Identity.fetch(config(dir))
  end

  test "a host that cannot keep who it is starts all the same, and says so" do
    dir = tmp_dir!()
    File.mkdir!(Path.join(dir, "host.nk"))
    name = :"Elixir.Exosuit.IdentityTest.Host"
    :ok = Exosuit.subscribe(name)
    start_supervised!({Exosuit, name: name, trusted_issuers: :any, data_dir: dir})
    assert_receive {:exosuit_event, %{type: "identity_not_kept", data: %{error: error}}}
    assert error =~ dir
  end

  defp config(dir, seed \\ nil) do
    nats = if seed, do: [servers: ["nats://127.0.0.1:1"], host_seed: seed]
    config = Exosuit.Config.new!(name: :none, trusted_issuers: :any, data_dir: dir, nats: nats)

    if seed,
      do: update_in(config.nats, &elem(Exosuit.Lattice.Nats.keep_secrets(&1), 1)),
      else: config
  end
end
