"""Slurm's programs as this package puts them on PATH: one module for each, named after it.

They ask the scheduler through `emulator.client` and print what Slurm 22.05.8 prints. They decide
nothing about jobs and import nothing of `emulator.daemon`; only `sacct` reads the event log itself.
"""
