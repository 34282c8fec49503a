"""Whole sweeps: rename, remove, copy, clean and archive a directory of which nothing runs.

Each holds the lock of the sweep, and refuses while anything of it runs, waits or is still to be
sent. A kill at any moment leaves the sweep, or something that the same command finishes.
"""
