defmodule Exosuit.App.Status do
  @moduledoc """
  The status of a host's share of an application. Only that host writes it, under its own key of the lattice's
  store. From the statuses, all hosts and tools know what runs on which host, and why something does not run.

  - `version`, `model`: the version that the host runs or starts, and the digest of its model; `nil` while it runs
    none. If an application was deleted and applied again, the same number means another model
  - `workloads`: for each workload of the share its wanted number of instances, its state, and the reason if it does
    not run. A singleton that waits for its lease is `:waiting`, with the number 0
  - `refused`: the workloads of `version` that the host refuses for good, with the reasons. Placement passes
    this host over for them until another version is deployed
  - `problem`: the reason why the host does not change to the version that should run, for people

  ## Readers

  | reader | looks for |
  |---|---|
  | `Exosuit.App.Machine.Handover` of another member | `:running` in the target version: its own part may end |
  | the same, for a singleton | `:waiting` as well: this member is ready, and only lacks the lease |
  | `Exosuit.App.Machine.View` of every member | `refused`: placement passes this host over |
  | `Exosuit.App.Machine.Failure` of another member | `:running`: the version works, so a failure is its own fault |
  | `Exosuit.App.Overview` | all of it, for people |

  A status is never proof that a host still lives: it stays in the store after a crash. Readers therefore look at the
  statuses of members alone. The hourly sweep deletes those of lost hosts.

  ## Bounds

  A status has at most 64 KiB as JSON, and each reason 512 bytes. If all reasons together are too much, `encode/1`
  leaves them out and keeps the states, because other members act on the states.
  """

  alias Exosuit.{Error, Json}

  @typedoc """
  The state of a workload on this host.

  - `:starting`: it was ordered, and does not run yet, or starts again
  - `:running`: as many as `count` may run at a time
  - `:leaving`: it runs, and ends when another member runs it
  - `:refused`: the host cannot run it; `detail` has the reason
  - `:waiting`: a singleton that would run if this host had its lease
  """
  @type state :: :running | :starting | :refused | :leaving | :waiting

  @typedoc "How many instances the host was told to run of a workload, and how far it got."
  @type workload :: %{count: non_neg_integer(), state: state(), detail: String.t() | nil}
  @type t :: %__MODULE__{
          schema: pos_integer(),
          version: pos_integer() | nil,
          model: String.t() | nil,
          workloads: %{optional(String.t()) => workload()},
          refused: %{optional(String.t()) => String.t()},
          problem: String.t() | nil
        }

  defstruct [:version, :model, :problem, schema: 1, workloads: %{}, refused: %{}]

  @schema 1
  @max_bytes 65_536
  @max_detail 512
  @states %{
    "running" => :running,
    "starting" => :starting,
    "refused" => :refused,
    "leaving" => :leaving,
    "waiting" => :waiting
  }

  @doc """
  Whether the status is about this version with this model (`Exosuit.App.Record.target/1`). False without a status.

      iex> alias Exosuit.App.Status
      iex> Status.about?(%Status{version: 2, model: "sha256:b"}, {2, "sha256:a"})
      false
  """
  @spec about?(t() | nil, {pos_integer(), String.t()}) :: boolean()
  def about?(%__MODULE__{version: version, model: model}, {version, model}), do: true
  def about?(_other, _version_and_model), do: false

  @doc "Whether this host runs the workload in this version with this model."
  @spec runs?(t() | nil, {pos_integer(), String.t()}, String.t()) :: boolean()
  def runs?(status, version_and_model, workload) do
    about?(status, version_and_model) and match?(%{state: :running}, status.workloads[workload])
  end

  @doc """
  Whether this host runs the singleton in this version, or would if it had the lease.

      iex> alias Exosuit.App.Status
      iex> waits = %{count: 0, state: :waiting, detail: nil}
      iex> Status.ready?(%Status{version: 1, model: "m", workloads: %{"db" => waits}}, {1, "m"}, "db")
      true
  """
  @spec ready?(t() | nil, {pos_integer(), String.t()}, String.t()) :: boolean()
  def ready?(status, version_and_model, workload) do
    about?(status, version_and_model) and
      match?(%{state: state} when state in [:waiting, :running], status.workloads[workload])
  end

  @doc """
  A reason for people, as a status holds it: one line of at most 512 bytes. A longer one is cut to 120 characters, so
  that the bound holds for every alphabet.

      iex> Exosuit.App.Status.detail("no\\n  room")
      "no room"
  """
  @spec detail(Error.t() | String.t()) :: String.t()
  def detail(%Error{} = error), do: error |> Exception.message() |> detail()

  def detail(text) do
    line = if String.valid?(text), do: text, else: inspect(text)
    line = String.replace(line, ~r/\s+/, " ")
    if byte_size(line) <= @max_detail, do: line, else: String.slice(line, 0, 120) <> "…"
  end

  @doc """
  As JSON, at most 64 KiB. Above that, the reasons of its workloads are left out. `:limit` if it is too large even so.
  """
  @spec encode(t()) :: {:ok, String.t()} | {:error, Error.t()}
  def encode(%__MODULE__{} = status) do
    case Json.encode(Map.from_struct(status)) do
      {:ok, text} when byte_size(text) <= @max_bytes -> {:ok, text}
      {:ok, _too_large} -> status |> shortened() |> encode_short()
      {:error, error} -> {:error, error}
    end
  end

  @doc """
  Reads a status; any text may be given. A newer schema is an error `:unavailable`, another text that is not a status
  `:invalid_input`, and one above 64 KiB `:limit`. States become atoms of a fixed set.
  """
  @spec decode(binary()) :: {:ok, t()} | {:error, Error.t()}
  def decode(text) when byte_size(text) <= @max_bytes do
    case Json.decode(text) do
      {:ok, %{"schema" => @schema} = fields} -> from_json(fields)
      {:ok, %{"schema" => schema}} when is_integer(schema) -> {:error, other_schema(schema)}
      {:ok, _other} -> invalid("expected schema #{@schema}")
      {:error, error} -> invalid(error.detail)
    end
  end

  def decode(text), do: {:error, too_large(text)}

  defp shortened(status) do
    workloads = Map.new(status.workloads, fn {id, it} -> {id, %{it | detail: nil}} end)
    %{status | workloads: workloads, refused: Map.new(status.refused, fn {id, _} -> {id, ""} end)}
  end

  defp encode_short(status) do
    with {:ok, text} <- Json.encode(Map.from_struct(status)) do
      if byte_size(text) <= @max_bytes, do: {:ok, text}, else: {:error, too_large(text)}
    end
  end

  defp from_json(%{"workloads" => %{} = workloads, "refused" => %{} = refused} = fields) do
    status = %__MODULE__{
      version: fields["version"],
      model: fields["model"],
      refused: refused,
      problem: fields["problem"]
    }

    valid? =
      (status.version == nil or number?(status.version, 1)) and optional_text?(status.problem) and
        optional_text?(status.model) and
        Enum.all?(refused, fn {_id, detail} -> is_binary(detail) end) and
        Enum.all?(workloads, fn {_id, workload} -> workload?(workload) end)

    if valid? do
      {:ok, %{status | workloads: Map.new(workloads, fn {id, it} -> {id, workload(it)} end)}}
    else
      invalid("expected a version, workloads with count and state, and refusals with reasons")
    end
  end

  defp from_json(_fields), do: invalid("expected maps of workloads and refusals")

  defp workload?(%{"count" => count, "state" => state} = workload) do
    number?(count, 0) and is_map_key(@states, state) and optional_text?(workload["detail"])
  end

  defp workload?(_other), do: false

  defp workload(%{"count" => count, "state" => state} = workload) do
    %{count: count, state: @states[state], detail: workload["detail"]}
  end

  defp number?(number, least), do: is_integer(number) and number >= least
  defp optional_text?(text), do: text == nil or is_binary(text)

  defp invalid(detail),
    do: {:error, Error.new(:invalid_input, "the status is not valid: #{detail}")}

  defp other_schema(schema) do
    Error.new(
      :unavailable,
      "the status has schema #{schema}, expected #{@schema}; a newer Exosuit wrote it"
    )
  end

  defp too_large(text) do
    Error.new(:limit, "the status has #{byte_size(text)} bytes, expected at most #{@max_bytes}")
  end
end
