import Config

# In a release its environment says all: guides/release.md. `bin/exosuit up` has arguments for it.
if System.get_env("RELEASE_NAME") && !System.get_env("EXOSUIT_UP") do
  environment = System.get_env()

  case Exosuit.Environment.read(environment) do
    {:ok, settings} ->
      for warning <- Exosuit.Environment.warnings(environment, :release),
          do: IO.puts(:stderr, "warning: " <> warning)

      for {app, values} <- settings, do: config(app, values)

    {:error, mistakes} ->
      for mistake <- mistakes, do: IO.puts(:stderr, "error: " <> mistake)
      System.halt(1)
  end
end
