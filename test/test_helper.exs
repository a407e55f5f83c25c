Exosuit.Guests.build()
ExUnit.start(capture_log: true)
