"""Executors of submitit: `client` starts the program `executor`, which submits `chunk` objects.

Only `executor` and `chunk` import submitit.
"""
