"""Leads that are stored: list, detail, export, retry, deletion."""
