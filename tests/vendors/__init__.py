"""Measures of what lies between a person and a vendor; commands, no tests: they take minutes."""
