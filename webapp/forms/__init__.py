"""Flask-WTF forms. The public form of an interface is built from its fields."""
