"""What every page and every answer has in common: security, roles, errors, limits, htmx, filters."""
