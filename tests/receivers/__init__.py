"""Software of others in front of Leadhook or behind it, run for `make receivers`; not part of `make test`."""
