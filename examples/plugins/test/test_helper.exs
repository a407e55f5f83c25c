ExUnit.start(capture_log: true, exclude: :toolchains)
ExUnit.after_suite(fn _result -> File.rm_rf!(Plugins.Uploads.data_dir()) end)
