"""Spark: segments answered where they are counted."""
