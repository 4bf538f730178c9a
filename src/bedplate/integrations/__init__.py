"""Bedplate inside other frameworks. Nothing is imported here: each file needs its own extra."""
