import Config

# In a release its environment says all: guides/release.md. `bin/exosuit up` has arguments for it.
if System.get_env("RELEASE_NAME") && !System.get_env("EXOSUIT_UP") do
  case Exosuit.Environment.read(System.get_env()) do
    {:ok, settings} ->
      for {app, values} <- settings, do: config(app, values)

    {:error, mistakes} ->
      for mistake <- mistakes, do: IO.puts(:stderr, "error: " <> mistake)
      System.halt(1)
  end
end
