"""The trainer of the person detector."""
