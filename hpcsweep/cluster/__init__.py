"""What accepts arrays: `base` says what that is, `registry` knows all of them.

`slurm` speaks to Slurm's programs, real or emulated, and `submitit` to any executor of submitit.
What to send, and what became of it, is decided above: in `submission` and `state`.
"""
