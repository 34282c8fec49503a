"""How an array task begins: from its command line and its environment."""

import json
import os
from pathlib import Path

from hpcsweep.directory import SweepDirectory
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
