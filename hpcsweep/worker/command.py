"""A command's case: a run directory even where none is kept, and metrics from `metrics.json`."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.files import (
    DOCUMENT_MAX,
    make_directory,
    open_regular,
    read_regular,
    remove_tree,
    token,
)
from hpcsweep.logbook.json_values import Metrics, null_warnings
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Reason
from hpcsweep.worker.messages import Request
from hpcsweep.worker.slot import Ended, Slot

# Bytes of a command's standard error that are kept as its error's text, from its end.
TAIL_MAX = 4000


def execute(manifest: FrozenManifest, slot: Slot, request: Request) -> Ended:
    """Run one case in a slot; a command's report is taken over from its run directory."""
    if not manifest.target.is_command:
        return slot.run(request)
    if request.run_dir is not None:
        return _with_report(slot.run(request), Path(request.run_dir), request.index)
    temporary = Path(os.environ.get("TMPDIR") or "/tmp") / f"hpcsweep-{token()}"  # noqa: S108
    make_directory(temporary)
    try:
        ended = slot.run(replace(request, run_dir=str(temporary)))
        return _with_report(ended, temporary, request.index)
    finally:
        with contextlib.suppress(OSError):  # a program may take its own files' permissions away
            remove_tree(temporary)


def _with_report(ended: Ended, path: Path, index: int) -> Ended:
    try:
        metrics = _metrics(path, index)
    except InputError as error:
        if ended.reason is not None:
            return ended
        return replace(
            ended,
            reason=Reason.ERROR,
            error={"type": "MetricsError", "message": str(error)},
        )
    if ended.error is not None and ended.reason is not None:
        tail = _tail(path / "stderr.txt")
        if tail:
            ended = replace(ended, error=ended.error | {"stderr": tail})
    return replace(ended, metrics=metrics)


def _metrics(path: Path, index: int) -> dict[str, Any]:
    """What the command left in `metrics.json`. *Raises* InputError when it is not a JSON object."""
    try:
        text = read_regular(path / "metrics.json", DOCUMENT_MAX)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"metrics.json cannot be read: {error.strerror}") from error
    from hpcsweep.worker.metricsjson import parsed  # noqa: PLC0415  # functions leave none

    found = parsed(text, "metrics.json")
    metrics = Metrics()
    for loss in null_warnings(metrics.merge(found, "metrics.json")):
        sys.stderr.write(f"hpcsweep: index {index}: {loss}\n")
    return metrics.values


def _tail(path: Path) -> str:
    try:
        with open_regular(path) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_MAX))
            return stream.read(TAIL_MAX).decode(errors="replace")
    except OSError:
        return ""
