"""SIGKILL at an exact operation of a process, without a word of it in the product."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

INJECT = Path(__file__).parent / "inject"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One operation at which a process ends, once.

    `event` is an audit event of the interpreter (docs.python.org, "Audit events table"), or `sql`
    for a statement of SQLite, before it is executed. The other texts are patterns as of fnmatch.
    """

    event: str
    # On the event's first two arguments, or on the statement.
    matching: str = "*"
    # On the process's command line.
    program: str = "*hpcsweep*"
    # On SLURM_ARRAY_TASK_ID.
    task: str = "*"
    # Which of the matching operations.
    nth: int = 1
    # Whether the operation is done first; os.* only.
    after: bool = False


def kill_at(points: Iterable[Point], marks: Path) -> dict[str, str]:
    """The variables for a process and all that inherits them; `marks` gets a file per kill."""
    marks.mkdir(parents=True, exist_ok=True)
    found = [
        asdict(point) | {"mark": str(marks / f"{number}")} for number, point in enumerate(points)
    ]
    path = os.pathsep.join([str(INJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "KILL_AT": json.dumps(found)}


def struck(marks: Path) -> list[int]:
    """The numbers of the points that were reached."""
    return sorted(int(path.name) for path in Path(marks).iterdir())
