"""The rules of stored files: states, limits, names, and what a content looks like."""
