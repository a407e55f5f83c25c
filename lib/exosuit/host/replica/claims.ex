defmodule Exosuit.Host.Replica.Claims do
  @moduledoc """
  The claims of the lattice's actors and providers, as `Exosuit.Host.Replica` reads them.

  They go into two places: the table `Exosuit.Lattice.Known`, which the inventory shows, and the router, which checks
  calls of remote actors by their claims, and knows remote actors by their call alias. Only the replica calls these
  functions, so that both have one writer.
  """

  alias Exosuit.{Instance, Router}
  alias Exosuit.Lattice.Known

  @doc """
  Stores claims. Returns the keys of claims that were removed to make room, see `Exosuit.Lattice.Known.put/3`. Returns
  `:full` if there is no room; the older claims of this key are then gone as well.
  """
  @spec put(Instance.t(), Known.claims(), (Known.claims() -> boolean())) ::
          {:ok, [String.t()]} | :full | {:error, Exosuit.Error.t()}
  def put(instance, claims, needed?) do
    with {:ok, gone} <- Known.put(instance, claims, needed?),
         :ok <- know(instance, claims),
         do: {:ok, gone}
  end

  @doc "Forgets the claims of a key."
  @spec forget(Instance.t(), String.t()) :: :ok
  def forget(instance, key) do
    Known.delete(instance, key)
    Router.forget_known(instance.router, key)
  end

  @doc """
  Forgets all claims but those of these keys. The replica calls it when it has read a bucket to its end: claims whose
  records were deleted meanwhile are not in the bucket any more.
  """
  @spec keep(Instance.t(), MapSet.t(String.t())) :: :ok
  def keep(instance, keys) do
    for %{subject: key} <- Known.list(instance), key not in keys, do: forget(instance, key)
    :ok
  end

  # Calls do not need the claims of providers.
  defp know(instance, %{contract_id: nil} = claims) do
    identity = %{
      public_key: claims.subject,
      issuer: claims.issuer,
      call_alias: claims.call_alias,
      capabilities: claims.capabilities,
      expires_at: nil
    }

    Router.know(instance.router, claims.subject, identity)
  end

  defp know(_instance, _provider), do: :ok
end
