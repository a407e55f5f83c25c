defmodule Exosuit.App.Placement do
  @moduledoc """
  Computes how much of which application each member of a lattice runs. Pure: the result depends on the arguments
  alone, so all hosts that know the same applications and members compute the same shares.

  | workload | where |
  |---|---|
  | actor with spreads | `instances` is the total: by weight over the spreads, then evenly over the members of each |
  | actor without a spread | `instances` is the total: evenly over all members |
  | daemon | `instances` (a provider once) on each member that meets one of its spreads |
  | provider with spreads | once on each member of a spread, up to the spread's number of instances |
  | provider without a spread | once on every member |
  | singleton | all of `instances` on one member that meets one of its spreads |

  A member is a candidate if it meets the labels of the spread, has the feature that the reference asks for
  (`exosuit+module://NAME` asks for `module:NAME`), understands the schema of the record, and has not refused
  the workload for good.

  Instances that cannot be divided evenly go to the candidates with the highest score (rendezvous hashing).
  Therefore only as many instances move as must: if a member leaves, no other member's count falls; if a member
  joins, no other member's count rises.

      iex> alias Exosuit.Model.Workload
      iex> workload = %Workload{role: :actor, id: "echo", reference: "file:///echo.wasm", instances: 3}
      iex> app = %{name: "shop", workloads: [workload]}
      iex> member = %{id: "N1", labels: %{}, features: [], schema: 1}
      iex> Exosuit.App.Placement.share([app], [member], %{}, "N1")
      %{"shop" => %{"echo" => 3}}

  ## How instances are divided

  Five instances over two spreads with the weights 3 and 1, and the members N1 and N2 in the first, N3 in the second:

      5 instances ── by weight ──► 3.75 and 1.25: whole parts 3 and 1, the rest to the larger remainder
                                    │
                 spread eu: 4 ──────┴────── spread us: 1
                   │ evenly by rank           │
               N1: 2   N2: 2               N3: 1

  A member that meets two spreads takes instances of both, and its counts are added up. A provider runs once on a
  member, however many spreads the member meets. With `scaler: :spread`, `instances` of a provider is a number of
  members.

  The score of a member is a hash of its id and of application, workload and spread. The salt spreads the load: the same
  few members would otherwise get the odd instance of every application.

  ## Facts that do not count

  Placement ignores load, free memory, and where an instance runs now. All of these differ between the views of two hosts, and
  hosts that see different facts compute different shares. Labels, features and schemas come with beats and change
  seldom. Refusals come with statuses. While two hosts disagree for a moment, `Exosuit.App.Machine.Handover` and the
  leases of singletons keep the difference from doing harm.

  ## Instances without a place

  Instances without a candidate are *unplaced*, and no other spread takes them: the author of the manifest wants them
  there. `obstacle/4` says why. They are placed as soon as a member comes that can run them.

  ## Changing it

  Two versions of this module in one lattice would run things twice or not at all. So a change of the result needs a new
  `algorithm/0` and a new schema of records. Hosts of the older version then leave such records alone, and placement
  passes them over.

  ## Cost

  A lattice may have thousands of members and applications. `candidates/1` hashes and sorts the members once for all
  applications. `share_of/4` sorts nothing for most workloads: it finds the rank of one member by counting those that
  score higher. `place/3` sorts the candidates of each spread, for callers that need the shares of all members.
  """

  import Bitwise

  alias Exosuit.Model.Workload

  @typedoc """
  A host of the lattice, as placement sees it. `features` are texts like `module:NAME`, one for each provider in Elixir
  that the host has; `schema` is the newest schema of records that it understands.
  """
  @type member :: %{
          :id => String.t(),
          :labels => %{optional(String.t()) => String.t()},
          :features => [String.t()],
          :schema => pos_integer(),
          optional(atom()) => term()
        }

  @typedoc "An application that should run. `schema` is that of its record; 1 if it is left out."
  @type app :: %{
          :name => String.t(),
          :workloads => [Workload.t()],
          optional(:schema) => pos_integer(),
          optional(atom()) => term()
        }

  @typedoc "The members that refused a workload for good, per application and workload."
  @type refusals :: %{
          optional(app_name :: String.t()) => %{
            optional(workload_id :: String.t()) => [member_id :: String.t()]
          }
        }

  @typedoc "The instances of each workload that a member runs, without workloads of which it runs none."
  @type share :: %{optional(workload_id :: String.t()) => pos_integer()}

  @typedoc "The number of instances of each spread that have no candidate, per application and workload."
  @type unplaced :: %{
          optional(app_name :: String.t()) => %{
            optional(workload_id :: String.t()) => [{spread :: String.t(), pos_integer()}]
          }
        }

  @typedoc "Members with their hashes, made once for many placements by `candidates/1`."
  @opaque candidates :: {:candidates, [{hash :: non_neg_integer(), member()}]}

  # All hosts of a lattice must use the same algorithm: a change of it needs a new number, and a new schema of
  # records.
  @algorithm 1

  @doc """
  The number of this algorithm: members with different numbers would place differently.

      iex> Exosuit.App.Placement.algorithm()
      1
  """
  @spec algorithm() :: pos_integer()
  def algorithm, do: @algorithm

  @doc "Prepares members for `place/3`, `share_of/4` and `obstacle/4`. Their order does not matter."
  @spec candidates([member()]) :: candidates()
  def candidates(members) do
    hashed = for member <- members, do: {hash(member.id), member}
    {:candidates, Enum.sort_by(hashed, fn {_hash, member} -> member.id end)}
  end

  @doc """
  The shares of all members, and the instances without a place. Each member is in the result, even without a share.

      iex> alias Exosuit.Model.Workload
      iex> spread = %{name: "eu", requirements: %{"zone" => "eu"}, weight: 100}
      iex> workload = %Workload{role: :actor, id: "echo", reference: "wasmcloud+builtin://echo", instances: 3,
      ...>   scaler: :spread, spreads: [spread]}
      iex> member = %{id: "N1", labels: %{"zone" => "us"}, features: [], schema: 1}
      iex> Exosuit.App.Placement.shares([%{name: "shop", workloads: [workload]}], [member], %{})
      {%{"N1" => %{}}, %{"shop" => %{"echo" => [{"eu", 3}]}}}
  """
  @spec shares([app()], [member()], refusals()) ::
          {%{optional(member_id :: String.t()) => %{optional(String.t()) => share()}}, unplaced()}
  def shares(apps, members, refusals) do
    candidates = candidates(members)
    none = Map.new(members, &{&1.id, %{}})

    Enum.reduce(apps, {none, %{}}, fn app, {shares, unplaced} ->
      {placed, missing} = place(app, candidates, refusals[app.name] || %{})

      shares =
        Enum.reduce(placed, shares, fn {member, share}, shares ->
          put_in(shares[member][app.name], share)
        end)

      {shares, if(missing == %{}, do: unplaced, else: Map.put(unplaced, app.name, missing))}
    end)
  end

  @typedoc """
  The reason why members cannot take more: they lack the labels of a spread, a feature, or the schema of the record,
  or there are too few of them.
  """
  @type obstacle :: :labels | {:feature, String.t()} | :schema | :count

  @doc """
  The reason, apart from refusals, why instances of a workload have no place in a spread. Gives the first obstacle that
  excludes all members, in the order `:labels`, `:schema`, feature; `:count` if there are candidates, but too few.

      iex> alias Exosuit.App.Placement
      iex> alias Exosuit.Model.Workload
      iex> app = %{name: "shop", workloads: [%Workload{role: :provider, id: "db", reference: "exosuit+module://pg"}]}
      iex> members = Placement.candidates([%{id: "N1", labels: %{}, features: [], schema: 1}])
      iex> Placement.obstacle(app, "db", "default", members)
      {:feature, "module:pg"}
  """
  @spec obstacle(app(), workload_id :: String.t(), spread :: String.t(), candidates()) ::
          obstacle()
  def obstacle(app, id, spread, {:candidates, hashed}) do
    workload = Enum.find(app.workloads, &(&1.id == id))
    labelled = meeting(hashed, find_spread(workload, spread))
    able = able(labelled, app, %{workload | reference: ""}, %{})
    feature = feature(workload.reference)

    cond do
      labelled == [] -> :labels
      able == [] -> :schema
      able(labelled, app, workload, %{}) == [] -> {:feature, feature}
      true -> :count
    end
  end

  defp find_spread(workload, name) do
    Enum.find(workload.spreads, %{requirements: %{}}, &(&1.name == name))
  end

  @doc "The share of one member, as `shares/3` computes it. Applications of which it runs nothing are left out."
  @spec share([app()], [member()], refusals(), String.t()) :: %{optional(String.t()) => share()}
  def share(apps, members, refusals, own_id) do
    candidates = candidates(members)

    for app <- apps,
        share = share_of(app, candidates, refusals[app.name] || %{}, own_id),
        share != %{},
        into: %{},
        do: {app.name, share}
  end

  @doc """
  The shares of one application by member, and its instances without a place by workload. The last argument has the
  members that refused, by workload. Members without a share are left out.
  """
  @spec place(app(), candidates(), %{optional(String.t()) => [String.t()]}) ::
          {%{optional(member_id :: String.t()) => share()},
           %{optional(String.t()) => [{String.t(), pos_integer()}]}}
  def place(app, {:candidates, hashed}, refusals) do
    Enum.reduce(app.workloads, {%{}, %{}}, fn workload, {shares, unplaced} ->
      able = able(hashed, app, workload, refusals)
      {counts, missing} = place_workload(app.name, workload, able)

      shares =
        Enum.reduce(counts, shares, fn {member, count}, shares ->
          Map.update(shares, member, %{workload.id => count}, &Map.put(&1, workload.id, count))
        end)

      {shares, if(missing == [], do: unplaced, else: Map.put(unplaced, workload.id, missing))}
    end)
  end

  @doc """
  The share of one member of one application, without computing those of the others. Gives the same counts as `place/3`
  does for that member.

      iex> alias Exosuit.App.Placement
      iex> alias Exosuit.Model.Workload
      iex> app = %{name: "shop", workloads: [%Workload{role: :actor, id: "echo", reference: "r", instances: 5}]}
      iex> members = Placement.candidates(for id <- ~w(N1 N2 N3), do: %{id: id, labels: %{}, features: [], schema: 1})
      iex> shares = for id <- ~w(N1 N2 N3), do: {id, Placement.share_of(app, members, %{}, id)}
      iex> {Map.new(shares), %{}} == Placement.place(app, members, %{})
      true
  """
  @spec share_of(app(), candidates(), %{optional(String.t()) => [String.t()]}, String.t()) ::
          share()
  def share_of(app, {:candidates, hashed}, refusals, own_id) do
    for workload <- app.workloads,
        able = able(hashed, app, workload, refusals),
        count = count(app.name, workload, able, own_id),
        count > 0,
        into: %{},
        do: {workload.id, count}
  end

  @doc """
  The feature that a member must have to run this reference, or `nil`.

      iex> Exosuit.App.Placement.feature("exosuit+module://MyApp.Database")
      "module:MyApp.Database"
      iex> Exosuit.App.Placement.feature("wasmcloud+builtin://keyvalue")
      nil
  """
  @spec feature(String.t()) :: String.t() | nil
  def feature("exosuit+module://" <> name), do: "module:" <> name
  def feature(_reference), do: nil

  # Without refusals and requirements, returns the same list: a lattice has thousands of pairs.
  defp able(hashed, app, workload, refusals) do
    schema = Map.get(app, :schema, 1)
    feature = feature(workload.reference)
    refused = refusals[workload.id] || []

    hashed
    |> keep(schema > 1, fn {_hash, member} -> member.schema >= schema end)
    |> keep(feature != nil, fn {_hash, member} -> feature in member.features end)
    |> keep(refused != [], fn {_hash, member} -> member.id not in refused end)
  end

  defp keep(hashed, false, _accept?), do: hashed
  defp keep(hashed, true, accept?), do: Enum.filter(hashed, accept?)

  # All members.

  defp place_workload(app, %Workload{singleton?: true} = workload, able) do
    case chosen(app, workload, able) do
      nil -> {%{}, [{hd(spreads(workload)).name, each(workload)}]}
      id -> {%{id => each(workload)}, []}
    end
  end

  defp place_workload(app, %Workload{role: :provider, scaler: :spread} = workload, able) do
    {taken, unplaced} =
      workload
      |> parts()
      |> Enum.reduce({%{}, []}, fn {spread, count}, {taken, unplaced} ->
        chosen = choose(app, workload, spread, count, able, taken)
        missing = count - map_size(chosen)
        unplaced = if missing > 0, do: [{spread.name, missing} | unplaced], else: unplaced
        {Map.merge(taken, chosen), unplaced}
      end)

    {taken, Enum.reverse(unplaced)}
  end

  defp place_workload(_app, %Workload{scaler: scaler} = workload, able)
       when scaler == :daemon or workload.role == :provider do
    counts =
      for {_hash, member} <- able,
          wanted?(member, workload),
          into: %{},
          do: {member.id, each(workload)}

    spreads = Enum.reject(workload.spreads, fn spread -> meeting(able, spread) != [] end)
    unplaced = for spread <- spreads, do: {spread.name, each(workload)}

    cond do
      able == [] and workload.spreads == [] -> {%{}, [{"default", each(workload)}]}
      true -> {counts, unplaced}
    end
  end

  defp place_workload(app, %Workload{} = workload, able) do
    {counts, unplaced} =
      workload
      |> parts()
      |> Enum.reduce({%{}, []}, fn {spread, count}, {counts, unplaced} ->
        placed = divide_evenly(count, ranked(app, workload, spread, meeting(able, spread)))

        unplaced =
          if count > 0 and placed == %{}, do: [{spread.name, count} | unplaced], else: unplaced

        {Map.merge(counts, placed, fn _member, one, more -> one + more end), unplaced}
      end)

    {counts, Enum.reverse(unplaced)}
  end

  defp divide_evenly(0, _ranked), do: %{}
  defp divide_evenly(_count, []), do: %{}

  defp divide_evenly(count, ranked) do
    size = length(ranked)

    for {{_score, id}, rank} <- Enum.with_index(ranked),
        count = evenly(count, size, rank),
        count > 0,
        into: %{},
        do: {id, count}
  end

  # A member runs a provider once, even if it meets several spreads.
  defp choose(app, workload, spread, count, able, taken) do
    able =
      Enum.reject(meeting(able, spread), fn {_hash, member} -> is_map_key(taken, member.id) end)

    for {_score, id} <- Enum.take(ranked(app, workload, spread, able), count),
        into: %{},
        do: {id, 1}
  end

  defp ranked(app, workload, spread, able) do
    salt = salt(app, workload, spread)
    able |> Enum.map(fn {hash, member} -> {-score(hash, salt), member.id} end) |> Enum.sort()
  end

  # For one member: its rank is the number of candidates that score higher.

  defp count(app, %Workload{singleton?: true} = workload, able, own_id) do
    if chosen(app, workload, able) == own_id, do: each(workload), else: 0
  end

  defp count(app, %Workload{role: :provider, scaler: :spread} = workload, able, own_id) do
    {counts, _unplaced} = place_workload(app, workload, able)
    Map.get(counts, own_id, 0)
  end

  defp count(_app, %Workload{scaler: scaler} = workload, able, own_id)
       when scaler == :daemon or workload.role == :provider do
    case find(able, own_id) do
      nil -> 0
      {_hash, member} -> if wanted?(member, workload), do: each(workload), else: 0
    end
  end

  defp count(app, %Workload{} = workload, able, own_id) do
    case find(able, own_id) do
      nil ->
        0

      own ->
        workload |> parts() |> Enum.map(&count_of(app, workload, &1, able, own)) |> Enum.sum()
    end
  end

  defp count_of(_app, _workload, {_spread, 0}, _able, _own), do: 0

  defp count_of(app, workload, {spread, count}, able, {own_hash, own}) do
    if meets?(own, spread) do
      salt = salt(app, workload, spread)
      own_score = score(own_hash, salt)
      {size, rank} = rank(meeting(able, spread), salt, own_score, own.id, 0, 0)
      evenly(count, size, rank)
    else
      0
    end
  end

  defp rank([], _salt, _own_score, _own_id, size, rank), do: {size, rank}

  defp rank([{hash, member} | rest], salt, own_score, own_id, size, rank) do
    score = score(hash, salt)
    before? = score > own_score or (score == own_score and member.id < own_id)
    rank(rest, salt, own_score, own_id, size + 1, if(before?, do: rank + 1, else: rank))
  end

  defp find(able, id), do: Enum.find(able, fn {_hash, member} -> member.id == id end)

  defp evenly(count, size, rank) do
    if rank < rem(count, size), do: div(count, size) + 1, else: div(count, size)
  end

  # Both.

  @everywhere %{name: "default", requirements: %{}, weight: 1}

  # The member that runs a singleton.
  defp chosen(app, workload, able) do
    able = Enum.filter(able, fn {_hash, member} -> wanted?(member, workload) end)

    case ranked(app, workload, @everywhere, able) do
      [] -> nil
      [{_score, id} | _others] -> id
    end
  end

  defp spreads(%Workload{scaler: :everywhere}), do: [@everywhere]
  defp spreads(%Workload{spreads: spreads}), do: spreads

  defp parts(%Workload{scaler: :everywhere} = workload), do: [{@everywhere, workload.instances}]

  defp parts(%Workload{} = workload) do
    Enum.zip(
      workload.spreads,
      divide(workload.instances, Enum.map(workload.spreads, & &1.weight))
    )
  end

  # Divides by weight: whole instances first, then the rest to the spreads with the largest remainders. If all weights
  # are 0, they count as equal.
  defp divide(count, weights) do
    weights =
      if Enum.all?(weights, &(&1 == 0)), do: Enum.map(weights, fn _ -> 1 end), else: weights

    total = Enum.sum(weights)
    whole = Enum.map(weights, &div(count * &1, total))

    weights
    |> Enum.with_index()
    |> Enum.sort_by(fn {weight, index} -> {-rem(count * weight, total), index} end)
    |> Enum.take(count - Enum.sum(whole))
    |> Enum.reduce(whole, fn {_weight, index}, shares ->
      List.update_at(shares, index, &(&1 + 1))
    end)
  end

  defp each(%Workload{role: :provider}), do: 1
  defp each(%Workload{} = workload), do: workload.instances

  defp wanted?(_member, %Workload{scaler: :everywhere}), do: true
  defp wanted?(member, workload), do: Enum.any?(workload.spreads, &meets?(member, &1))

  defp meeting(able, %{requirements: requirements}) when requirements == %{}, do: able

  defp meeting(able, spread),
    do: Enum.filter(able, fn {_hash, member} -> meets?(member, spread) end)

  defp meets?(member, spread) do
    Enum.all?(spread.requirements, fn {label, value} -> member.labels[label] == value end)
  end

  defp salt(app, workload, spread), do: hash({app, workload.id, spread.name})

  defp hash(term), do: :erlang.phash2(term, 1 <<< 32)

  # A score is asked for once per member and workload. Two rounds of multiply and shift spread 32 bits well, and
  # stay within the BEAM's small integers: hashing a tuple for each pair takes several times as long.
  defp score(hash, salt) do
    x = bxor(hash, salt)
    x = bxor(x, x >>> 16) * 0x5BD1E95 &&& 0xFFFFFFFF
    x = bxor(x, x >>> 15) * 0x6C8E945 &&& 0xFFFFFFFF
    bxor(x, x >>> 16)
  end
end
