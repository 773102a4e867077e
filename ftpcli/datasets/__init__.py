"""Readers of annotated data: one a file form."""
