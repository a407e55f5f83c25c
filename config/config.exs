import Config

# Guests' own lines carry the actor's id; everything else of a host carries the host's name.
config :logger, :console, metadata: [:host, :actor], format: "$time [$level] $metadata$message\n"

if config_env() == :test do
  # Refusals and crashes are what the tests are about: each asserts on events, not on log lines.
  config :logger, level: :error
end
