"""What all pages and responses share: security, roles, errors, limits, htmx, filters."""
