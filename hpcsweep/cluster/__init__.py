"""The seam to what accepts arrays: `text` is pure, `process` starts programs, `slurm` uses both."""
