"""The mesh under torture: real processes, real kills, and a check of every promise after each round."""
