"""`python -m hpcsweep.worker SWEEP SUBMISSION PART`: the command in an array's script.

`--start JSON`: submitit or PBS started it, not Slurm; the JSON has the fields of a `Start`.
`--alone`: it is a job without an array. `--node`: one of the nodes of such a job.
`--setup-failed WHERE EXIT_CODE`: only record that a setup line failed.
"""

import sys

from hpcsweep import program


def main(arguments: list[str]) -> int:
    """Run the worker of a task, or of a node. Returns the exit code."""
    is_node = arguments[3:4] == ["--node"]
    return program.run(f"hpcsweep.worker.{'node' if is_node else 'task'}", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
