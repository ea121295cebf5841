"""Recordings become something to learn from."""
