"""Dispatch the requests of the programs: plain JSON in, plain JSON out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hpcsweep.emulator.daemon import (
    administration,
    admission,
    allocation_requests,
    cancelling,
    changes,
    queries,
    step_requests,
)
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.errors import HpcsweepError

# Requests to the emulator itself: answered also during an injected outage.
_WITHOUT_FAULTS = ("alive", "fault", "reconfigure")

_VERBS: dict[str, Callable[[Controller, dict[str, Any]], dict[str, Any]]] = {
    "ping": queries.ping,
    "alive": queries.ping,
    "queue": queries.queue,
    "cluster": queries.cluster,
    "script": queries.script,
    "submit": admission.submit,
    "cancel": cancelling.cancel,
    "matching": cancelling.matching,
    "change": changes.change,
    "update_node": administration.update_nodes,
    "reconfigure": administration.reconfigure,
    "fault": administration.order_fault,
    "allocation": allocation_requests.show,
    "allocation_end": allocation_requests.end,
    "steps": step_requests.running,
    "step_begin": step_requests.begin,
    "step_end": step_requests.end,
}


def answer(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    service, now = controller.faults, time.time()
    if message["do"] not in _WITHOUT_FAULTS and service.outage("controller_down", now):
        return {"away": True}
    verb = _VERBS.get(message["do"])
    if verb is None:
        return {"error": f"unknown request {message['do']!r}"}
    slow = service.outage("controller_slow", now)
    try:
        return verb(controller, message) | ({"delay": slow.delay_s} if slow else {})
    except HpcsweepError as refusal:  # a transient one makes sbatch retry for two minutes
        return {"error": refusal.what, "detail": refusal.where, "again": refusal.transient}
