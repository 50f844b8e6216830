"""Numen: a self-hosted platform for AI agents that are defined by a JSON contract."""

__version__ = "0.1.0"
