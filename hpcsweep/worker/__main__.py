"""`python -m hpcsweep.worker SWEEP SUBMISSION PART`: what a script of an array runs.

With `--start JSON`, the fields of a `Start`, it was started by submitit, not as Slurm's array task;
with `--alone` it is a job that is no array.
With `--setup-failed WHERE EXIT_CODE` it only records that a setup line failed.
"""

import sys

from hpcsweep import program

if __name__ == "__main__":
    sys.exit(program.run("hpcsweep.worker.task", sys.argv[1:]))
