"""The conventions of the REST API: one module each. The resources are in blueprints/api/."""
