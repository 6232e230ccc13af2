"""Stored leads: list, detail, export, retry, deletion."""
