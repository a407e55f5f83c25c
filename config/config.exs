import Config

# Guests' own lines carry the actor's id; everything else of a host carries the host's name.
config :logger, :console, metadata: [:host, :actor], format: "$time [$level] $metadata$message\n"

# Whoever logs never waits for a terminal or a pipe that nobody reads: past so many lines that wait,
# further ones are dropped. The first two are of Elixir up to 1.14, the last ones from 1.15 on.
config :logger, sync_threshold: 500, discard_threshold: 500
config :logger, :default_handler, config: [sync_mode_qlen: 200, drop_mode_qlen: 200]

if config_env() == :test do
  # Refusals and crashes are what the tests are about: each asserts on events, not on log lines.
  config :logger, level: :error
end
