"""Talking with an agent: what a person says becomes turns, and what the agent answers becomes audio."""
