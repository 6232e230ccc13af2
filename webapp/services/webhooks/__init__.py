"""Webhooks beside their interfaces: adding and removing them, and the settings that only some of them have."""
