"""Ends a process at one exact operation; loaded by every Python that has this place on its path.

`KILL_AT` holds a JSON list of points, see `tests.faults.killing.Point`. The interpreter announces
operations to audit hooks before it does them: the hook of a point's program counts those that
match and, at the right one, kills its own process with SIGKILL, or first does the operation.
Without `KILL_AT` this file does nothing.
"""

import json
import os
import signal
import sys
from fnmatch import fnmatch
from typing import Any

_busy = False


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def _strike(point: dict[str, Any], event: str, arguments: tuple[Any, ...]) -> None:
    try:
        os.close(os.open(point["mark"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if point["after"] and event == "open":
        path, _, flags = arguments
        os.open(path, flags, 0o600)
    elif point["after"]:
        # What follows are directory descriptors, -1 where none was given.
        getattr(os, event.removeprefix("os."))(*[one for one in arguments if one != -1])
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(point: dict[str, Any]) -> None:
    left, started = point["nth"], os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        global _busy
        nonlocal left
        # A forked child has the hook too, and is another process.
        if event != point["event"] or _busy or os.getpid() != started:
            return
        _busy = True
        try:
            # Beyond the second there may be an environment, which holds the patterns themselves.
            if fnmatch(" ".join(map(_text, arguments[:2])), point["matching"]):
                left -= 1
                if left == 0:
                    _strike(point, event, arguments)
        finally:
            _busy = False

    sys.addaudithook(hook)


def _watch_sql(point: dict[str, Any]) -> None:
    import sqlite3

    connect, left = sqlite3.connect, point["nth"]

    def trace(statement: str) -> None:
        nonlocal left
        left -= fnmatch(statement, point["matching"])
        if left == 0:
            _strike(point, "sql", ())

    def connect_and_trace(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(trace)
        return connection

    sqlite3.connect = connect_and_trace


for _point in json.loads(os.environ.get("KILL_AT", "[]")):
    _task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if fnmatch(" ".join(sys.orig_argv), _point["program"]) and fnmatch(_task, _point["task"]):
        (_watch_sql if _point["event"] == "sql" else _watch)(_point)
