"""`python -m hpcsweep.worker SWEEP SUBMISSION PART`: what a script of an array runs.

With `--start JSON`, the fields of a `Start`, it was started by submitit, not as Slurm's array task;
with `--alone` it is a job that is no array.
With `--setup-failed WHERE EXIT_CODE` it only records that a setup line failed.
"""

import json
import os
import sys
from pathlib import Path

from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import HpcsweepError
from hpcsweep.records import ALONE, IN_TASK
from hpcsweep.worker.task import Start, Task


def main(arguments: list[str]) -> int:
    """Run one array task. Returns the exit code."""
    sweep, submission, part, *rest = arguments
    if rest[:1] == ["--start"]:
        start = Start(**json.loads(rest[1]))
        del rest[:2]
    elif rest[:1] == [ALONE]:
        start = Start.from_environment(os.environ, alone=True)
        del rest[0]
    else:
        start = Start.from_environment(os.environ)
    os.environ[IN_TASK] = "1"
    task = Task(SweepDirectory.open(Path(sweep)), int(submission), int(part), start)
    if rest:
        _, where, exit_code = rest
        task.fail_setup(where, int(exit_code))
        return int(exit_code)
    return task.run()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HpcsweepError as error:
        print(f"hpcsweep: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
