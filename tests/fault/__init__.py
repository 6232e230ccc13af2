"""The fault suite: a whole Leadhook under load while everything it stands on fails. See docs/reliability.md.

`pytest tests/fault` runs the short form, `python -m tests.fault` (make soak) the long one.
"""
