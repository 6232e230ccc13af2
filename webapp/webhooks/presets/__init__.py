"""Services that take leads: for each, a file of data with its format, its template and its answer rule."""
