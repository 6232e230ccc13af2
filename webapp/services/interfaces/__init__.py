"""Interfaces and their settings: fields, texts, look, mails, webhook, privacy."""
