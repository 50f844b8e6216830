"""Programs for operators and for make: each runs as `python -m backend.scripts.NAME` or as a file."""
