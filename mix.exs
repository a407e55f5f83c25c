Code.require_file("config/cargo.exs", __DIR__)
Code.require_file("config/dialyzer.exs", __DIR__)

defmodule Exosuit.MixProject do
  use Mix.Project

  def project do
    [
      app: :exosuit,
      version: "0.1.0",
      elixir: "~> 1.14",
      description:
        "An OTP host for WebAssembly: signed actors and the capabilities they may use.",
      start_permanent: Mix.env() == :prod,
      compilers: [:cargo] ++ Mix.compilers(),
      elixirc_paths: elixirc_paths(Mix.env()),
      releases: [exosuit: release()],
      aliases: [ci: &ci/1]
    ] ++ environment_of_ci(Version.match?(System.version(), "< 1.15.0"))
  end

  def application do
    [
      mod: {Exosuit.Application, []},
      extra_applications: [:logger, :crypto] ++ test_applications(Mix.env())
    ]
  end

  # `mix ci` compiles and tests in one environment, as its tasks do. Said twice: Elixir 1.14 reads it elsewhere.
  def cli, do: [preferred_envs: [ci: :test, dialyzer: :test]]
  defp environment_of_ci(true), do: [preferred_cli_env: [ci: :test, dialyzer: :test]]
  defp environment_of_ci(false), do: []

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # :tools has xref, for the architecture test; :inets an HTTP client.
  defp test_applications(:test), do: [:tools, :inets]
  defp test_applications(_env), do: []

  # guides/release.md. The cookie opens the whole VM: it is its owner's alone.
  defp release do
    [include_executables_for: [:unix], steps: [:assemble, &protect_cookie/1, &add_command/1]]
  end

  # The command `exosuit`, and what it starts: rel/env.sh.eex hands over to it.
  defp add_command(release) do
    :ok = Mix.Tasks.Compile.Cargo.build(~w(-p exosuit_cli))
    libexec = Path.join(release.path, "libexec")
    File.cp_r!("rel/libexec", libexec)
    Enum.each(~w(exosuit exosuit-run), &copy_program(&1, libexec))
    release
  end

  # Remove, then copy: it may run.
  defp copy_program(name, directory) do
    program = Path.join(directory, name)
    File.rm(program)
    File.cp!(Path.join([Mix.Tasks.Compile.Cargo.target(), "release", name]), program)
  end

  defp protect_cookie(release) do
    File.chmod!(Path.join(release.path, "releases/COOKIE"), 0o600)
    release
  end

  # The whole contract, in the order that finds the cheap mistakes first.
  defp ci(_args) do
    Mix.Task.run("format", ["--check-formatted"])
    cargo(~w(fmt --check))
    Mix.Task.run("compile", ["--warnings-as-errors"])
    Mix.Task.run("xref", ~w(graph --format cycles --fail-above 0))
    Mix.Task.run("dialyzer")
    cargo(~w(clippy --release --workspace --all-targets -- -D warnings))
    cargo(~w(test --release --locked --workspace))
    cargo(~w(doc --release --workspace --no-deps), [{"RUSTDOCFLAGS", "-D warnings"}])
    cargo(~w(test --release --locked --manifest-path test/conformance/Cargo.toml))
    Mix.Task.run("test", ["--warnings-as-errors"])
    Enum.each(~w(examples/embed examples/plugins), &example/1)
  end

  # An app that has Exosuit as its dependency, as such an app builds it.
  defp example(directory) do
    mix(~w(format --check-formatted), directory)
    mix(~w(test --warnings-as-errors), directory)
  end

  defp mix(args, directory) do
    Mix.shell().info("==> #{directory}: mix " <> Enum.join(args, " "))
    env = [{"MIX_ENV", "test"}]

    case System.cmd("mix", args, into: IO.stream(), cd: directory, env: env) do
      {_output, 0} ->
        :ok

      {_output, status} ->
        Mix.raise("mix #{hd(args)} failed in #{directory} with status #{status}")
    end
  end

  defp cargo(args, env \\ []) do
    Mix.shell().info("==> cargo " <> Enum.join(args, " "))
    env = [{"CARGO_TARGET_DIR", Mix.Tasks.Compile.Cargo.target()} | env]

    case System.cmd("cargo", args, into: IO.stream(), env: env) do
      {_output, 0} -> :ok
      {_output, status} -> Mix.raise("cargo #{hd(args)} failed with status #{status}")
    end
  end
end
