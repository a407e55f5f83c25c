defmodule Exosuit.App.Keys do
  @moduledoc """
  The keys of the bucket `:applications`.

  | key | holds | written by |
  |---|---|---|
  | `generation` | 32 hexadecimal digits, which differ in a new store | any member that finds none |
  | `app.<name>` | `Exosuit.App.Record` | any host that changes the application |
  | `status.<host id>.<name>` | `Exosuit.App.Status` | that host |
  | `slots.<name>` | `Exosuit.App.Machine.Slots`: the members that are being updated | the members |
  | `lease.<name>.<workload>` | `Exosuit.App.Machine.Lease`: the member that may run a singleton | the members |

  The name of an application has no dots (`Exosuit.App.Record.name?/1`), and neither has the id of a host. So the first
  dot ends the first part, and a workload may have any id that the store accepts in a key.

  Each kind of key has one rule about concurrent writers. A record, slots and leases change by compare-and-set, because
  several members write them. A status needs none: only its host writes it. A deletion leaves no value, so that members
  learn of it by the watch alone.

  | key | deleted by |
  |---|---|
  | `app` | the caller who deletes the application (`Exosuit.App.Versions.delete/2`) |
  | `status` | its host, when it has nothing to report; of a lost host, the sweep (`Exosuit.App.Cleanup`) |
  | `slots` | the caller who deletes the application |
  | `lease` | the sweep, when the application is gone and the lease has expired |
  """

  @typedoc "A key by its meaning."
  @type key ::
          {:record, String.t()}
          | {:status, host :: String.t(), app :: String.t()}
          | {:slots, String.t()}
          | {:lease, app :: String.t(), workload :: String.t()}
          | :generation

  @doc """
  The text of a key in the store.

      iex> Exosuit.App.Keys.encode({:status, "NABC", "shop"})
      "status.NABC.shop"
  """
  @spec encode(key()) :: String.t()
  def encode({:record, name}), do: "app." <> name
  def encode({:status, host, app}), do: "status.#{host}.#{app}"
  def encode({:slots, app}), do: "slots." <> app
  def encode({:lease, app, workload}), do: "lease.#{app}.#{workload}"
  def encode(:generation), do: "generation"

  @doc """
  Reads a key of the store; `:unknown` for a key of another version of Exosuit, which hosts ignore.

      iex> Exosuit.App.Keys.decode("lease.shop.counter")
      {:lease, "shop", "counter"}
      iex> Exosuit.App.Keys.decode("lease.shop")
      :unknown
  """
  @spec decode(String.t()) :: key() | :unknown
  def decode("app." <> name), do: {:record, name}
  def decode("slots." <> app), do: {:slots, app}
  def decode("generation"), do: :generation

  def decode("status." <> rest), do: decode_pair(:status, rest)
  def decode("lease." <> rest), do: decode_pair(:lease, rest)

  def decode(_other), do: :unknown

  # Neither host ids nor names of applications have dots.
  defp decode_pair(kind, rest) do
    case String.split(rest, ".", parts: 2) do
      [first, second] -> {kind, first, second}
      _other -> :unknown
    end
  end
end
