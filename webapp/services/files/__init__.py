"""Files that visitors add to a form: judged, stored outside the database, linked, deleted."""
