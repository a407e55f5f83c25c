Exosuit.Guests.build()

# On a machine with other things to do, what is waited for takes its time; it costs nothing where it comes.
ExUnit.start(capture_log: true, assert_receive_timeout: 20_000, timeout: 180_000)
