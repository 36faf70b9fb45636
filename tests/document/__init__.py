"""The API document held against the running mesh, and what it says of objects and pages, row by row."""
