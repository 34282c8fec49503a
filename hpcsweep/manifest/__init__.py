"""The manifest: `user` reads and checks the user's file, `frozen` is the resolved copy of a sweep.

`frozen` imports the standard library only, for the worker; the other modules are for submissions.
"""
