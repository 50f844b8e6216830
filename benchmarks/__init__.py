"""Measurements of Numen: each prints a table, and a number that is promised is one of its lines."""
