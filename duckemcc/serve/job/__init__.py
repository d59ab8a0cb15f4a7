"""Batch jobs: a TOML file read, run and written."""
