defmodule Exosuit.RefusalsTest do
  # Each command that changes something, refused at each of its steps: all is as it was before.
  use Exosuit.HostCase, async: true

  alias Exosuit.Directory
  alias Exosuit.Host.{Reconciler, Roster, Specifications}

  defmodule Moody do
    @moduledoc "Starts in a good mood alone."
    use Exosuit.Provider, contract: "test:moody"

    @impl Exosuit.Provider
    def init(%{"mood" => "bad"}), do: {:error, "in a bad mood"}
    def init(config), do: {:ok, config}

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  defmodule Fickle do
    @moduledoc "Starts as its list says, once it is used up always."
    use Exosuit.Provider, contract: "test:fickle"

    @impl Exosuit.Provider
    def init(config) do
      case Agent.get_and_update(__MODULE__, &Enum.split(&1, 1)) do
        ["fails"] -> {:error, "not now"}
        ["hangs"] -> receive do: (:never -> :ok)
        _runs -> {:ok, config}
      end
    end

    @impl Exosuit.Provider
    def handle_invocation(_operation, payload, _context), do: {:ok, payload}
  end

  # An import that no host has: it compiles, and could never be instantiated.
  @unlinked <<0, "asm", 1::32-little, 1, 4, 1, 0x60, 0, 0, 2, 7, 1, 1, "x", 1, "y", 0, 0>>

  # Its function of start is `unreachable`. It has all that the ABI asks for.
  @traps <<0, "asm", 1::32-little, 1, 10, 2, 0x60, 2, 0x7F, 0x7F, 1, 0x7F, 0x60, 0, 0, 3, 3, 2, 0,
           1, 5, 3, 1, 0, 1, 7, 25, 2, 6, "memory", 2, 0, 12, "__guest_call", 0, 0, 8, 1, 1, 10,
           10, 2, 4, 0, 0x41, 1, 0x0B, 3, 0, 0x00, 0x0B>>

  setup do
    dir = tmp_dir!()
    options = [unsigned: :deny, providers: %{"moody" => Moody}, labels: %{"zone" => "a"}]
    host = start_supervised_host!(options)
    keys = %{issuer: Guests.key("account"), subject: Guests.key("module")}
    it = %{host: host, dir: dir, keys: keys, image: Path.join(dir, "app.wasm")}
    put_image(it, Guests.path("busy"), 5)
    File.write!(path(it), manifest(%{}))
    assert {:ok, outcomes, []} = Exosuit.apply_manifest(host, path(it))
    assert Enum.all?(outcomes, &match?({_step, :ok}, &1)), inspect(outcomes)
    assert {:ok, "first"} = Exosuit.call(host, "app-worker", "op", "")
    :ok = Exosuit.put_config(host, "settings", %{"bucket" => "one"})
    it
  end

  defp fickle!(it, moods) do
    start_supervised!(%{
      id: Fickle,
      start: {Agent, :start_link, [fn -> moods end, [name: Fickle]]}
    })

    {:ok, "fickle"} = Exosuit.start_provider(it.host, Fickle, id: "fickle")
    instance = Directory.fetch!(it.host, :instance)
    {:ok, {old, _loaded}} = Specifications.fetch(instance, {:provider, "fickle"})
    {instance, old}
  end

  defp fickle(it), do: Enum.find(Exosuit.inventory(it.host).providers, &(&1.id == "fickle"))

  # What is changed, as a change of the file or of the manifest; and what the refusal says.
  @applies [
    {"the file is truncated", {:file, :truncated}, %{}, "end-of-file"},
    {"the file is not signed", {:file, :unsigned}, %{}, "not signed"},
    {"the code is of another issuer", {:file, :foreign}, %{}, "issuer"},
    {"the code has an import that nobody has", {:file, {:wasm, @unlinked}}, %{}, "x"},
    {"the code does not start", {:file, {:wasm, @traps}}, %{}, "unreachable"},
    {"a directory is not there", nil,
     %{exosuit: "grants: {directories: [{host: /no/such/place, guest: /data}]}"},
     "/no/such/place"},
    {"the memory is too small", nil, %{exosuit: "limits: {memory: 1}"}, "memory"},
    {"the memory is too small for other code", {:file, :other}, %{exosuit: "limits: {memory: 1}"},
     "memory"}
  ]

  for {name, file, changes, said} <- @applies do
    @tag broken: file, changes: changes, said: said
    test "apply: #{name}, and what runs goes on", it do
      before = snapshot(it.host)
      change_file(it, it.broken)
      File.write!(path(it), manifest(it.changes))

      assert {:ok, outcomes, []} = Exosuit.apply_manifest(it.host, path(it))
      assert [{{:update, %{id: "app-worker"}}, {:error, error}}] = outcomes
      assert Exception.message(error) =~ it.said
      assert snapshot(it.host) == before

      # Nor was anything written down: once it is killed, it starts again as it was.
      kill(Exosuit.whereis(it.host, "app-worker"))
      assert {:ok, "first"} = Exosuit.call(it.host, "app-worker", "op", "")
    end
  end

  test "apply: the file is gone, and nothing is stored", it do
    before = snapshot(it.host)
    change_file(it, {:file, :gone})
    assert {:error, [%{text: text}]} = Exosuit.apply_manifest(it.host, path(it))
    assert text =~ "cannot be read"
    assert snapshot(it.host) == before
    assert {:ok, %{versions: [%{version: 1}]}} = Exosuit.App.history(it.host, "app")
  end

  test "apply: a provider does not start with other settings, and the old one runs", it do
    before = snapshot(it.host)
    File.write!(path(it), manifest(%{mood: "bad"}))
    assert {:ok, outcomes, []} = Exosuit.apply_manifest(it.host, path(it))
    assert [{{:exchange, %{id: "app-moody"}}, {:error, error}}] = outcomes
    assert Exception.message(error) =~ "bad mood"
    assert unordered(snapshot(it.host)) == unordered(before)
  end

  test "apply: an old provider that does not start again at once is tried until it runs", it do
    {config, old} = fickle!(it, ~w(runs fails fails))
    assert {:error, error} = Roster.exchange(config, %{old | config: %{"mood" => "new"}})
    assert Exception.message(error) =~ "the old one did not restart either"

    assert eventually(fn -> fickle(it).status == :running end)
    assert {:ok, {^old, _loaded}} = Specifications.fetch(config, {:provider, "fickle"})
  end

  test "apply: a provider stays although the reconciler falls while it is exchanged", it do
    {config, old} = fickle!(it, ~w(runs hangs))
    exchange = Task.async(fn -> Roster.exchange(config, %{old | config: %{"mood" => "new"}}) end)
    eventually(fn -> Agent.get(Fickle, & &1) == [] end)
    kill(GenServer.whereis(Directory.via(it.host, Reconciler)))

    assert {:error, %Error{reason: :unavailable}} = Task.await(exchange)
    assert eventually(fn -> fickle(it).status == :running end)
  end

  test "apply: what can start is changed in place, and its calls go on", it do
    pid = Exosuit.whereis(it.host, "app-worker")
    put_image(it, Guests.path("second"), 6)

    File.write!(path(it), manifest(%{exosuit: "limits: {memory: 64MiB}", mood: "better"}))
    assert {:ok, outcomes, []} = Exosuit.apply_manifest(it.host, path(it))
    assert [{{:update, _actor}, :ok}, {{:exchange, _provider}, :ok}] = outcomes
    assert {:ok, "second"} = Exosuit.call(it.host, "app-worker", "op", "")
    assert Exosuit.whereis(it.host, "app-worker") == pid
    assert {:ok, [], []} = Exosuit.apply_manifest(it.host, path(it))
  end

  test "a command that is refused, at whichever step, changes nothing", it do
    before = snapshot(it.host)

    # Each is refused for another reason, at the step that its name says.
    for {name, reason, command} <- [
          {"update, read", :io, fn -> update(it, "none.wasm", []) end},
          {"update, key", :invalid_claims, fn -> update(it, {%{}, 6}, []) end},
          {"update, issuer", :invalid_claims,
           fn -> update(it, {subject(it), 6}, force: true) end},
          {"update, revision", :conflict, fn -> update(it, {it.keys, 4}, []) end},
          {"update, links of code", :invalid_module, fn -> update(it, {@unlinked, 6}, []) end},
          {"update, instance", :trap, fn -> update(it, {@traps, 6}, []) end},
          {"start, id", :conflict, fn -> start(it, "app-worker") end},
          {"start, id as another's alias", :conflict, fn -> start(it, "ponger") end},
          {"start, alias", :conflict, fn -> start(it, "free") end},
          {"stop", :not_found, fn -> Exosuit.stop_actor(it.host, "nobody") end},
          {"scale", :not_found, fn -> Exosuit.scale_actor(it.host, "nobody", 7) end},
          {"provider, id", :conflict, fn -> provider(it, "keyvalue", id: "app-worker") end},
          {"provider, start", :provider, fn -> provider(it, Moody, config: bad()) end},
          {"label", :denied, fn -> Exosuit.put_label(it.host, "hostcore.os", "other") end},
          {"config", :invalid_input, fn -> Exosuit.put_config(it.host, "bad name", %{}) end},
          {"link, claim", :missing_claim, fn -> link(it, "moody", "test:moody") end},
          {"link, contract", :invalid_link, fn -> link(it, "store", "wasmcloud:messaging") end},
          {"delete link", :not_found, fn -> unlink(it) end}
        ] do
      assert {name, {:error, %Error{reason: ^reason}}} = {name, command.()}
      assert {name, snapshot(it.host)} == {name, before}
    end
  end

  test "a second change of an application waits while one is in progress, and an error says so",
       it do
    key = {it.host, {:application, "app"}}
    {:ok, _owner} = Registry.register(Exosuit.Registry, key, nil)
    before = snapshot(it.host)
    File.write!(path(it), manifest(%{exosuit: "limits: {memory: 64MiB}"}))

    assert {:error, [%{text: text}]} = Exosuit.apply_manifest(it.host, path(it))
    assert text =~ "in progress"
    assert {:error, %Error{reason: :conflict} = error} = Exosuit.delete_app(it.host, "app")
    assert Exception.message(error) =~ "application app is in progress"
    assert snapshot(it.host) == before

    # As the error says, the host takes up what was asked for last.
    assert Exception.message(error) =~ "takes up yours when it has finished"
    Registry.unregister(Exosuit.Registry, key)

    assert eventually(fn ->
             match?(
               {:error, %Error{reason: :not_found}},
               Exosuit.fetch_actor(it.host, "app-worker")
             )
           end)
  end

  test "many applies at once: each is done or refused, and the last one done is what runs", it do
    File.write!(path(it), manifest(%{exosuit: "limits: {memory: 64MiB}"}))

    results =
      1..8
      |> Enum.map(fn _n -> Task.async(fn -> Exosuit.apply_manifest(it.host, path(it)) end) end)
      |> Task.await_many(60_000)

    for result <- results do
      case result do
        {:ok, outcomes, []} -> assert Enum.all?(outcomes, &match?({_step, :ok}, &1))
        {:error, [%{text: text}]} -> assert text =~ "in progress"
      end
    end

    assert Enum.any?(results, &match?({:ok, [_update], []}, &1))
    assert {:ok, [], []} = Exosuit.apply_manifest(it.host, path(it))
    assert {:ok, "first"} = Exosuit.call(it.host, "app-worker", "op", "")
  end

  defp subject(it), do: Map.take(it.keys, [:subject])
  defp bad, do: %{"mood" => "bad"}

  defp update(it, code, options) do
    file =
      case code do
        "none.wasm" = name -> Path.join(it.dir, name)
        {%{} = keys, revision} -> signed(it, keys, Guests.path("second"), revision)
        {bytes, revision} -> signed(it, it.keys, wasm_file(it, bytes), revision)
      end

    Exosuit.update_actor(it.host, "app-worker", file, options)
  end

  # An actor of another issuer, whose alias is taken.
  defp start(it, id) do
    Exosuit.start_actor(it.host, signed(it, %{}, Guests.path("second"), 1), id: id)
  end

  defp provider(it, provider, options), do: Exosuit.start_provider(it.host, provider, options)

  defp link(it, target, contract) do
    link = [source: "app-worker", target: "app-" <> target, contract: contract]
    Exosuit.put_link(it.host, link)
  end

  defp unlink(it) do
    Exosuit.delete_link(it.host, source: "nobody", contract: "wasmcloud:keyvalue")
  end

  # What anybody can see, but for clocks and counts.
  defp snapshot(host) do
    inventory = Exosuit.inventory(host)

    %{
      actors: inventory.actors,
      # When it is asked for its health has nothing to do with commands.
      providers: Enum.map(inventory.providers, &Map.delete(&1, :health)),
      links: inventory.links,
      labels: inventory.labels,
      config: Exosuit.get_config(host, "settings"),
      answers:
        for name <- ["app-worker", "ponger", Enum.at(inventory.actors, 0).public_key] do
          Exosuit.call(host, name, "op", "")
        end
    }
  end

  # A provider that was started again is another process.
  defp unordered(snapshot) do
    providers = snapshot.providers |> Enum.map(&Map.delete(&1, :pid)) |> Enum.sort()
    %{snapshot | providers: providers}
  end

  defp path(it), do: Path.join(it.dir, "app.yaml")

  defp change_file(_it, nil), do: :ok
  defp change_file(it, {:file, :gone}), do: File.rm!(it.image)
  defp change_file(it, {:file, :unsigned}), do: File.cp!(Guests.path("second"), it.image)
  defp change_file(it, {:file, :other}), do: put_image(it, Guests.path("second"), 6)
  defp change_file(it, {:file, {:wasm, bytes}}), do: put_image(it, wasm_file(it, bytes), 6)

  defp change_file(it, {:file, :truncated}) do
    bytes = File.read!(it.image)
    File.write!(it.image, binary_part(bytes, 0, byte_size(bytes) - 100))
  end

  defp change_file(it, {:file, :foreign}) do
    File.cp!(signed(it, %{}, Guests.path("second"), 6), it.image)
  end

  defp put_image(it, wasm, revision), do: File.cp!(signed(it, it.keys, wasm, revision), it.image)

  defp wasm_file(it, bytes) do
    file = Path.join(it.dir, "made.wasm")
    File.write!(file, bytes)
    file
  end

  defp signed(it, keys, wasm, revision) do
    options = [wasm: wasm, rev: revision, alias: "ponger", caps: ["wasmcloud:keyvalue"]]
    elem(Guests.sign(it.dir, "guest", options ++ Keyword.new(keys)), 0)
  end

  defp manifest(changes) do
    """
    apiVersion: core.oam.dev/v1beta1
    kind: Application
    metadata: {name: app, annotations: {version: v0.0.1}}
    spec:
      components:
        - name: worker
          type: actor
          properties: {image: file://./app.wasm}
          traits:
            - type: spreadscaler
              properties: {instances: 4}
            - type: link
              properties:
                namespace: wasmcloud
                package: keyvalue
                interfaces: []
                target: {name: store}
            - type: exosuit
              properties: {#{Map.get(changes, :exosuit, "limits: {memory: 32MiB}")}}
        - name: store
          type: capability
          properties: {image: "wasmcloud+builtin://keyvalue"}
        - name: moody
          type: capability
          properties:
            image: "exosuit+module://moody"
            config: [{name: mood, properties: {mood: #{Map.get(changes, :mood, "good")}}}]
    """
  end
end
