"""`python -m hpcsweep.worker SWEEP SUBMISSION PART`: the command in an array's script.

`--start JSON`: submitit started it, not Slurm; the JSON has the fields of a `Start`.
`--alone`: it is a job without an array.
`--setup-failed WHERE EXIT_CODE`: only record that a setup line failed.
"""

import sys

from hpcsweep import program

if __name__ == "__main__":
    sys.exit(program.run("hpcsweep.worker.task", sys.argv[1:]))
