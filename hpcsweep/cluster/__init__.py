"""Clusters accept job arrays: `base` has the protocol, `registry` all kinds.

`slurm` runs Slurm's programs, `pbs` those of OpenPBS and PBS Pro, `emulated` those of the emulated
Slurm, `submitit` any executor of submitit. All answer in Slurm's words, which are in `states` and
`reasons`. Not here: which indices to submit (`submission`), and their outcomes (`state`).
"""
