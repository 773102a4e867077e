"""Outputs that appear whole or not at all, locks, checked JSON, and what the inputs of a command are."""
