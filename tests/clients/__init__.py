"""`make clients`: clients that generators make of the OpenAPI document, against a real Leadhook."""
