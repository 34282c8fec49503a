"""The report of a command's case: its metrics, and the end of its standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.files import DOCUMENT_MAX, end_of_text, read_regular
from hpcsweep.logbook.json_values import Metrics
from hpcsweep.logbook.run_directory import METRICS
from hpcsweep.records import Reason
from hpcsweep.worker.messages import Request
from hpcsweep.worker.metricsjson import parse_metrics
from hpcsweep.worker.runner import Steps
from hpcsweep.worker.slot import CaseEnd, Slot

# Bytes from the end of a command's standard error that are kept in its error.
TAIL_MAX = 4000
# A case that is complete is not run again, so one whose files are lost is not complete.
_REMOVED = {
    "type": "RunDirectoryError",
    "message": "the program ended with 0, but its run directory is gone, and with it what it "
    "printed and its metrics.json: let the program not remove, move or rename {run_dir}",
}


def execute(slot: Slot, request: Request) -> Steps[CaseEnd]:
    """Run a command's case; read its metrics, and the text of an error, from its directory."""
    ended = yield from slot.run(request)
    return _with_metrics(ended, Path(str(request.run_dir)))


def _with_metrics(ended: CaseEnd, path: Path) -> CaseEnd:
    try:
        metrics = _metrics(path)
    except InputError as error:
        if ended.reason is not None:
            return ended
        return ended._replace(
            reason=Reason.ERROR,
            error={"type": "MetricsError", "message": str(error)},
        )
    if ended.reason is None and not (metrics or path.is_dir()):
        return ended._replace(reason=Reason.ERROR, error=_REMOVED)
    if ended.error is not None and ended.reason is not None:
        tail = end_of_text(path / "stderr.txt", TAIL_MAX)
        if tail:
            ended = ended._replace(error=ended.error | {"stderr": tail})
    return ended._replace(metrics=metrics)


def _metrics(path: Path) -> dict[str, Any]:
    """The metrics in `metrics.json`, and in `artifacts/metrics.json`, where a `Logbook` has them.

    *Raises* InputError for a file that is no JSON object, and for two values of one metric.
    """
    metrics = Metrics()
    for name in ("metrics.json", METRICS):
        try:
            text = read_regular(path / name, DOCUMENT_MAX)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}") from error
        metrics.merge(parse_metrics(text, name), name)
    return metrics.values
