import Config

# Uploads, and the stores of the plugins.
config :plugins, data_dir: "data"

if config_env() == :test do
  config :plugins, data_dir: Path.join(System.tmp_dir!(), "plugins-test-#{System.pid()}")
end
