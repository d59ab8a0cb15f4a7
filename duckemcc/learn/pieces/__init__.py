"""Causes that are too large for a list of states: their pieces, and what is known of these."""
