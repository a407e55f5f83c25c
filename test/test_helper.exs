Exosuit.Guests.build()

# On a machine with other things to do, what is waited for takes its time; it costs nothing where it comes.
# bin/soak, bin/fuzz and the suites of bin/test-more run what is excluded here.
ExUnit.start(
  exclude: [:soak, :fuzz, :toolchains],
  capture_log: true,
  assert_receive_timeout: 20_000,
  timeout: 180_000
)
