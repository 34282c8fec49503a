"""Slurm: `client` asks its programs, `text` builds their arguments and reads their answers.

`text`, `states`, `reasons` and `refusals` are pure, and each fact in them names its Slurm version.
"""
