"""Sends webhooks: payload, signature, request, outcome. Does not use Flask or the database."""
