"""Confidence limits of a query by conditional χ²: a profile likelihood, its faces, and the descent to a limit."""
