"""Clusters accept job arrays: `base` has the protocol, `registry` all kinds.

`slurm` runs Slurm's programs, `emulated` those of the emulated Slurm, `submitit` any executor of
submitit. Not here: which indices to submit (`submission`), and their outcomes (`state`).
"""
