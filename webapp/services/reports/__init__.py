"""Error reports to account owners."""
