defmodule Exosuit.Soak.Memory do
  @moduledoc """
  The memory of this VM in KiB, by use, so that a failure names what grew:

  - `resident`: all of it, as the operating system counts it.
  - `processes`, `binary`, `ets`, `atom`, `code`, `system`: what the BEAM uses, by the names of
    `:erlang.memory/0`, after the garbage of all processes was collected.
  - `spare`: what the BEAM has allocated and does not use.
  - `files`: mapped files, which are mostly program code.
  - `native`: the rest: the Rust side, the instances of guests, and the C library's free lists.
  """

  @beam ~w(processes binary ets atom code system)a

  @type t :: %{atom() => integer()}

  @doc "Collects the garbage of all processes and returns the sizes."
  @spec take() :: t()
  def take do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    used = :erlang.memory()
    allocated = allocated()
    [resident, files] = status(~w(VmRSS RssFile))
    beam = for kind <- @beam, into: %{}, do: {kind, kib(used[kind])}
    spare = max(allocated - kib(used[:total]), 0)
    native = resident - files - allocated
    Map.merge(beam, %{resident: resident, files: files, spare: spare, native: native})
  end

  @doc "One line per use: before, after, and the difference, in KiB."
  @spec compare(t(), t()) :: String.t()
  def compare(before, later) do
    lines =
      for kind <- [:resident] ++ @beam ++ [:spare, :files, :native] do
        change = later[kind] - before[kind]

        "  #{kind}: #{before[kind]} KiB before, #{later[kind]} KiB after (#{sign(change)}#{change})"
      end

    Enum.join(lines, "\n")
  end

  defp sign(change), do: if(change < 0, do: "", else: "+")

  # Every allocator of the BEAM has carriers of several kinds, and an instance per scheduler.
  defp allocated do
    sizes =
      for allocator <- :erlang.system_info(:alloc_util_allocators),
          instances when is_list(instances) <- [
            :erlang.system_info({:allocator_sizes, allocator})
          ],
          {:instance, _number, kinds} <- instances,
          {_kind, facts} <- kinds,
          is_list(facts),
          {:value, size} <- [:lists.keysearch(:carriers_size, 1, facts)],
          do: elem(size, 1)

    kib(Enum.sum(sizes))
  end

  defp status(names) do
    status = File.read!("/proc/self/status")

    for name <- names do
      [_line, size] = Regex.run(~r/^#{name}:\s+(\d+) kB/m, status)
      String.to_integer(size)
    end
  end

  defp kib(bytes), do: div(bytes, 1_024)
end
