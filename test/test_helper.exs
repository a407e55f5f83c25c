Exosuit.Guests.build()

# The suites of bin/test-more have tags of their own.
ExUnit.configure(exclude: [:toolchains])

# On a machine with other things to do, what is waited for takes its time; it costs nothing where it comes.
# bin/soak and bin/fuzz run these.
ExUnit.start(
  exclude: [:soak, :fuzz],
  capture_log: true,
  assert_receive_timeout: 20_000,
  timeout: 180_000
)
