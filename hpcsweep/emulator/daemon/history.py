"""Compact the event log: remove jobs that ended long ago."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hpcsweep import files
from hpcsweep.emulator import arrays, events, names
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.logged_state import LoggedState

_DAY_S = 86400.0
# A log below this size is not compacted.
_SMALL = 1 << 20


def compact(logged: LoggedState, settings: EmulatorConfig) -> None:
    """Rewrite the log without jobs that ended long ago; call it before the scheduler opens the log.

    *Writes* the event log in the current directory.
    """
    path = Path(names.EVENTS)
    if not path.exists() or os.path.getsize(path) < _SMALL:
        return
    before = time.time() - settings.history_days * _DAY_S
    keep = {
        job.request.id for job, _ in logged.runs.values() if not job.ended or job.ended > before
    }
    for base in [base for base in logged.requests if base not in keep]:
        del logged.requests[base]
    logged.jobs = {key: job for key, job in logged.jobs.items() if job.request.id in keep}
    logged.runs = {key: run for key, run in logged.runs.items() if run[0].request.id in keep}
    files.replace(path, b"".join(events.line(event) for event in _events(logged)))


def _events(logged: LoggedState) -> list[dict[str, Any]]:
    events_kept: list[dict[str, Any]] = [
        {"e": "start", "last_id": logged.last_id, "boot_id": logged.boot_id},
        *({"e": "node", "name": name, "down": why} for name, why in logged.nodes.items()),
        *({"e": "request", "request": request.to_json()} for request in logged.requests.values()),
    ]
    for (job_id, _), steps in logged.steps.items():
        if job_id in logged.jobs:
            events_kept += [{"at": step["started"]} | step for step in steps.values()]
    # A remainder comes before the elements that were split off it.
    runs = sorted(
        logged.runs.values(), key=lambda run: (run[0].request.id, not run[0].is_remainder)
    )
    for job, at in runs:
        events_kept.append(job.event(at))
        if job.is_remainder:
            all_ids = arrays.parse_array(job.request.array, arrays.ANY_ID)
            if gone := sorted(set(all_ids).difference(job.waiting)):
                events_kept.append({"e": "drop", "id": job.id, "tasks": arrays.format_ids(gone)})
    return events_kept
