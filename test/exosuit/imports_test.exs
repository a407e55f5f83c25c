defmodule Exosuit.ImportsTest do
  # Not async: it reads the log of the whole VM.
  use Exosuit.HostCase, async: false

  require Logger

  @blobs "wasi:blobstore/blobstore@0.2.0-draft#open"

  setup do
    level = Logger.level()
    Logger.configure(level: :warning)
    :ok = :logger.add_handler(__MODULE__, __MODULE__, %{config: %{pid: self()}})

    on_exit(fn ->
      :logger.remove_handler(__MODULE__)
      Logger.configure(level: level)
    end)
  end

  @doc false
  def log(%{msg: {:string, text}}, %{config: %{pid: pid}}) do
    send(pid, {:logged, IO.chardata_to_string(text)})
  end

  def log(_event, _handler), do: :ok

  test "an actor runs though nothing answers one of its imports, and the log names it" do
    host = start_supervised_host!(actors: [blobs: "blobs"])

    assert_receive {:logged, "[blobs] nothing here answers the import " <> _text = first}
    assert_receive {:logged, "[blobs] nothing here answers the import " <> _text = second}
    assert first <> second =~ @blobs

    assert {:ok, 9} = Exosuit.call(host, "blobs", "nine", [])
    assert {:error, %Error{reason: :trap} = error} = Exosuit.call(host, "blobs", "open", [])
    assert Exception.message(error) =~ @blobs
    assert {:ok, 9} = Exosuit.call(host, "blobs", "nine", [])
    refute_received {:logged, "[blobs] nothing here" <> _text}
  end

  test "a strict host refuses it by the names of the imports" do
    host = start_supervised_host!(links: :strict)
    path = Guests.path("blobs")
    assert {:error, %Error{} = error} = Exosuit.start_actor(host, path, id: "blobs")
    assert Exception.message(error) =~ @blobs
    assert Exception.message(error) =~ "links: :lenient"

    # What a link may answer is no reason to refuse.
    for guest <- ["echo", "caller", "components/delegator", "components/web"] do
      assert {:ok, _id} = Exosuit.start_actor(host, Guests.path(guest), id: Path.basename(guest))
    end
  end

  test "a guest of waPC is started as it expects" do
    host = start_supervised_host!(actors: [wapc: "wapc"])
    assert {:ok, "si_Sw"} = Exosuit.call(host, "wapc", "Hello", "")
  end

  test "a program of preview 1 tells its own status" do
    host = start_supervised_host!()
    grants = [arguments: ["33"]]
    path = Guests.component("command")
    assert {:ok, _id} = Exosuit.start_actor(host, path, id: "command", grants: grants)

    assert {:error, %Error{reason: :guest} = error} =
             Exosuit.call(host, "command", "wasi:cli/run#run", "")

    assert Exception.message(error) =~ "status 33"
  end
end
