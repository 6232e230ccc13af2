"""Transactions, group commit, the turns of writers, statements for many rows."""
