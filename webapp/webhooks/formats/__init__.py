"""The shapes of a payload: one file for each. choices.py names them."""
