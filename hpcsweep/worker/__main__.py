"""`python -m hpcsweep.worker SWEEP SUBMISSION PART`: the command in an array's script.

`--start JSON`: submitit started it, not Slurm; the JSON has the fields of a `Start`.
`--alone`: it is a job without an array. `--node`: one of the nodes of such a job.
`--setup-failed WHERE EXIT_CODE`: only record that a setup line failed.
"""

import sys

from hpcsweep import program

if __name__ == "__main__":
    is_node = sys.argv[4:5] == ["--node"]
    sys.exit(program.run(f"hpcsweep.worker.{'node' if is_node else 'task'}", sys.argv[1:]))
