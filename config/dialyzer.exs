defmodule Mix.Tasks.Dialyzer do
  @shortdoc "Checks the compiled modules with Dialyzer"
  @moduledoc """
  Checks the compiled modules with Dialyzer, which belongs to Erlang. Dialyzer finds calls that cannot succeed,
  clauses that never match, and specs that contradict the code. The task fails if it finds any.

  Dialyzer needs a table (a PLT) of the functions of Erlang and Elixir. The task builds the table once, which
  takes some minutes, and keeps it in `~/.cache/exosuit/dialyzer`.
  """
  use Mix.Task

  # The applications whose functions the project and the support of its tests call.
  @applications ~w(erts kernel stdlib crypto elixir logger ex_unit mix)a

  # In addition to Dialyzer's defaults. The others would mostly want changes of what is right: `_ =` before calls
  # (`:unmatched_returns`), `no_return()` wherever something is raised (`:error_handling`), a spec of its own for
  # each function that returns a part of a type (`:extra_return`).
  @warnings [:unknown]

  # A package that the app may have, and the compiler in config/cargo.exs, which is no part of the app.
  @unknown [:telemetry, Mix.Tasks.Compile.Cargo]

  @impl Mix.Task
  def run(_arguments) do
    Mix.Task.run("compile")
    load()
    table() |> findings() |> report()
  end

  # From Elixir 1.15 on, the code path has the applications of the project alone.
  defp load do
    if function_exported?(Mix, :ensure_application!, 1),
      do:
        Enum.each(
          [:compiler, :syntax_tools, :dialyzer, :ex_unit],
          &apply(Mix, :ensure_application!, [&1])
        )

    if :code.which(:dialyzer) == :non_existing,
      do: Mix.raise("Dialyzer is not installed; on Debian: apt-get install erlang-dialyzer")
  end

  # The name has a digest of the modules in the table, so that the table of an older Erlang is never used.
  defp table do
    beams = Enum.flat_map(@applications, &beams/1)
    digest = :crypto.hash(:sha256, Enum.map(beams, &File.read!/1))
    short = digest |> binary_part(0, 4) |> Base.encode16(case: :lower)
    name = "otp-#{System.otp_release()}-elixir-#{System.version()}-#{short}.plt"
    path = Path.expand(name, Path.expand("~/.cache/exosuit/dialyzer"))
    unless File.exists?(path), do: build(path, beams)
    path
  end

  defp beams(application) do
    application |> :code.lib_dir() |> Path.join("ebin/*.beam") |> Path.wildcard()
  end

  # Written beside its place, then renamed: an interrupted build leaves no broken table.
  defp build(path, beams) do
    Mix.shell().info("==> dialyzer: building the table of Erlang and Elixir (some minutes, once)")
    File.mkdir_p!(Path.dirname(path))
    unfinished = "#{path}.#{System.pid()}"
    files = Enum.map(beams, &to_charlist/1)

    :dialyzer.run(
      analysis_type: :plt_build,
      files: files,
      get_warnings: false,
      output_plt: to_charlist(unfinished)
    )

    File.rename!(unfinished, path)
  end

  defp findings(table) do
    Mix.shell().info("==> dialyzer")

    Enum.reject(analyse(table), &ignored?/1)
  end

  defp ignored?({_tag, _place, {:unknown_function, {module, _name, _arity}}}),
    do: module in @unknown

  # Line 1 is that of `defmodule`: the branch is one that a macro of Elixir wrote, such as `and`.
  defp ignored?({:warn_matching, {_file, 1}, _message}), do: true
  defp ignored?(_finding), do: false

  defp analyse(table) do
    :dialyzer.run(
      check_plt: false,
      files_rec: [to_charlist(Mix.Project.compile_path())],
      plts: [to_charlist(table)],
      warnings: @warnings
    )
  end

  defp report([]), do: :ok

  defp report(findings) do
    for finding <- Enum.sort_by(findings, &elem(&1, 1)) do
      text = :dialyzer.format_warning(finding, filename_opt: :fullpath, indent_opt: false)
      Mix.shell().error(String.trim("#{text}"))
    end

    Mix.raise("dialyzer: #{length(findings)} findings")
  end
end
