"""Slurm: `client` runs its programs, `text` builds their arguments and parses their output.

`text`, `states`, `reasons` and `refusals` are pure, and each fact in them names its Slurm version.
"""
