"""`python -m webapp.run.__main__`, which is `make run`: all of Leadhook on one machine."""
