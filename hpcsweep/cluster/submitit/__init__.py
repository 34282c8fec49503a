"""Executors of submitit: `client` starts the program `executor`, which hands in `chunk` objects.

Only `executor` and `chunk` import submitit.
"""
