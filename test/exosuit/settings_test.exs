defmodule Exosuit.SettingsTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.Protocol.Registries

  test "labels change while a host runs, and what is the machine's own does not" do
    host = start_supervised_host!(labels: %{"zone" => "a", "hostcore.os" => "mine"})
    :ok = Exosuit.subscribe(host)
    assert %{"zone" => "a", "hostcore.os" => "linux"} = Exosuit.facts(host).labels

    assert :ok = Exosuit.put_label(host, "zone", "b")
    assert_receive {:exosuit_event, %{type: "labels_changed", data: %{labels: labels}}}
    assert labels["zone"] == "b"
    assert :ok = Exosuit.delete_label(host, "zone")
    assert :ok = Exosuit.delete_label(host, "zone")
    refute Map.has_key?(Exosuit.inventory(host).labels, "zone")

    assert {:error, %Error{reason: :denied}} = Exosuit.put_label(host, "hostcore.arch", "x")
    assert {:error, %Error{reason: :denied}} = Exosuit.delete_label(host, "hostcore.arch")
  end

  test "what is kept is bounded" do
    host = start_supervised_host!()

    assert {:error, %Error{reason: :limit}} =
             Exosuit.put_label(host, String.duplicate("k", 257), "")

    long = String.duplicate("v", 8_192)
    assert {:error, %Error{reason: :limit, detail: detail}} = Exosuit.put_label(host, "k", long)
    assert detail =~ "8192 bytes"
    results = for n <- 1..1_001, do: Exosuit.put_label(host, "k#{n}", "value")
    assert {:error, %Error{reason: :limit}} = List.last(results)
    assert :ok = Exosuit.put_label(host, "k1", "other")
    assert :ok = Exosuit.delete_label(host, "k1")
    assert :ok = Exosuit.put_label(host, "k2", "changed")
  end

  test "what is shown to registries is kept, and shown to nobody else" do
    host = start_supervised_host!()
    {:ok, command} = Registries.decode(%{"r" => %{"token" => "s3cr3t"}}, "oci")
    assert :ok = Exosuit.put_registries(host, command.registries)
    refute inspect(Exosuit.inventory(host)) =~ "s3cr3t"
  end
end
