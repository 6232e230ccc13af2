"""The ways to prove to a receiver who sends: one file for each, all with the methods that schemes.py names."""
