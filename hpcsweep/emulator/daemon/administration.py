"""Administrative requests: nodes, the configuration, fault injection."""

from __future__ import annotations

import time
from typing import Any

from hpcsweep.emulator import config
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.faults.chance import OF_SERVICES, Fault
from hpcsweep.errors import ClusterError


def update_nodes(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Take nodes down or bring them back."""
    for name in message["nodes"]:
        if name not in controller.pool.nodes:
            raise ClusterError("Invalid node name specified")
        _change_node(controller, name, message["down"])
    controller.log.sync()
    return {}


def _change_node(controller: Controller, name: str, reason: str) -> None:
    """Take a node down and fail its jobs; an empty reason brings it back."""
    node, since = controller.pool.nodes[name], time.time() if reason else 0
    node.down, node.since = reason, since
    controller.log.append({"e": "node", "name": name, "down": reason, "since": since})
    controller.is_dirty = True
    if reason:
        for job in [job for job in controller.table.live.values() if name in job.places]:
            controller.fail_node_of(job)


def reconfigure(controller: Controller, _: dict[str, Any]) -> dict[str, Any]:
    """Reload the configuration; nodes only grow, and jobs continue."""
    controller.settings = config.load(controller.state_dir)
    controller.pool.grow(controller.settings)
    controller.is_dirty = True
    return {}


def order_fault(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Inject a fault now: `clear`, an outage, or a fault of running jobs."""
    kind = message["kind"]
    if kind == "clear":
        controller.faults.clear()
        return {"struck": 0}
    if kind in OF_SERVICES:
        fields = {
            key: message[key] for key in ("seconds", "delay_s") if message.get(key) is not None
        }
        controller.start_outage(Fault(kind=kind, rate=1.0, **fields))
        return {"struck": 1}
    struck = 0
    for job in [job for job in controller.table.live.values() if job.state == "RUNNING"]:
        is_named = message["job"] in (job.id, job.request.id)
        if is_named and message["task"] in (None, job.task):
            struck += controller.strike(kind, job)
    controller.log.sync()
    return {"struck": struck}
