"""Recognises when somebody's life may be in danger, and what to say then: rules and reviewed texts, no model."""
