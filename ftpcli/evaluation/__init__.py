"""Evaluation: prediction files against annotations, models on data sets, and the figures themselves."""
