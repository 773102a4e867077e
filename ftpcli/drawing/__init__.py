"""Skeletons over pictures: while annotating, or from a poses file."""
