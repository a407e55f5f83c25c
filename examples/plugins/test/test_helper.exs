ExUnit.start(capture_log: true, exclude: :toolchains)

ExUnit.after_suite(fn _result ->
  # The host writes to this directory until it has stopped.
  :ok = Application.stop(:plugins)
  File.rm_rf!(Plugins.Uploads.data_dir())
end)
