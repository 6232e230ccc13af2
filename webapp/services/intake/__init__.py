"""From a posted form to a lead in the database."""
