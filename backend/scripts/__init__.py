"""Entry points: what an operator starts, each short and repeatable."""
