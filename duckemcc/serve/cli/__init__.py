"""The command `duckemcc`."""
