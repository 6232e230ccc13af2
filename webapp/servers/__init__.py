"""The servers that Leadhook uses, apart from the database: how to reach them and what is wrong with them."""
