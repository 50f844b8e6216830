"""Tests of HTTP, most of them on apps of a few lines."""
