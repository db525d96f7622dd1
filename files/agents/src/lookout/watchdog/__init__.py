"""The watchdog: ends processes that hang or grow, so that what waits for them goes on."""
