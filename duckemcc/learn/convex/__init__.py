"""Solvers of convex problems and linear equations that know nothing of causes or records."""
