"""The seam to what accepts arrays: `seam` says what that is, `slurm` and `bysubmitit` are such.

`text` is pure, `process` starts programs. `executor` is the program in which submitit runs, and
`chunk` what it hands in.
"""
