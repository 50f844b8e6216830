"""Small real servers that speak foreign protocols, with faults on demand."""
