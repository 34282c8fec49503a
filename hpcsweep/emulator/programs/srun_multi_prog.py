"""--multi-prog: a file that assigns commands to the tasks of a step."""

from __future__ import annotations

import re
import shlex

from hpcsweep.emulator import arrays
from hpcsweep.emulator.programs import options


def read(path: str, tasks: int) -> list[list[str]]:
    """The command of each task: lines `0-2,5 COMMAND ARGUMENT...`, `*` for all others.

    In the arguments `%t` is the task's rank, `%o` its place in the line's range.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read().splitlines()
    except OSError:
        options.fail("srun", f"Could not open multi_prog config file {path}")
    by_rank: dict[int, list[str]] = {}
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        ranks, *command = shlex.split(line)
        if ranks == "*":
            chosen = [rank for rank in range(tasks) if rank not in by_rank]
        elif re.fullmatch(r"[\d,-]+", ranks) and command:
            chosen = arrays.parse_array(ranks, arrays.ANY_ID)
        else:
            options.fail("srun", f"Invalid task specification: {line}")
        for place, rank in enumerate(chosen):
            words = [word.replace("%t", str(rank)).replace("%o", str(place)) for word in command]
            by_rank.setdefault(rank, words)
    missing = [rank for rank in range(tasks) if rank not in by_rank]
    if missing:
        options.fail("srun", f"Configuration file {path} has no command for task {missing[0]}")
    return [by_rank[rank] for rank in range(tasks)]
