"""The ways in: Python, SQL, the command line."""
