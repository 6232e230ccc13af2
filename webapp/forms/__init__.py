"""Flask-WTF forms; those of interfaces are built from their fields."""
