"""The engine between services and webhooks: lanes (ring, take, drain) and the ledger (due, record)."""
