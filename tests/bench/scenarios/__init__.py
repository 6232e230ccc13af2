"""One module for each thing that is measured; each function yields rows of the table."""
