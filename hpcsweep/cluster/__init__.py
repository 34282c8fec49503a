"""What accepts arrays: `base` says what that is, `registry` knows all of them.

`slurm` runs Slurm's programs, `emulated` those of the emulated Slurm, `submitit` any executor of
submitit. What to send, and what became of it, is decided above: in `submission` and `state`.
"""
