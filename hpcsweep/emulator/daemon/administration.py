"""What people ask of the cluster itself: nodes, its configuration, faults on order."""

from __future__ import annotations

import time
from typing import Any

from hpcsweep.emulator import config
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.faults.chance import OF_SERVICES, Fault
from hpcsweep.errors import ClusterError


def update_nodes(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Take nodes down or bring them back."""
    for name in asked["nodes"]:
        if name not in controller.pool.nodes:
            raise ClusterError("Invalid node name specified")
        _change_node(controller, name, asked["down"])
    controller.log.sync()
    return {}


def _change_node(controller: Controller, name: str, reason: str) -> None:
    """Let a node fail, and its jobs with it; for an empty reason it is back."""
    node, since = controller.pool.nodes[name], time.time() if reason else 0
    node.down, node.since = reason, since
    controller.log.append({"e": "node", "name": name, "down": reason, "since": since})
    controller.is_dirty = True
    if reason:
        for job in [one for one in controller.table.live.values() if name in one.places]:
            controller.fail_node_of(job)


def reconfigure(controller: Controller, _: dict[str, Any]) -> dict[str, Any]:
    """Read the configuration again; nodes only grow, and jobs go on."""
    controller.settings = config.load(controller.state_dir)
    controller.pool.grow(controller.settings)
    controller.is_dirty = True
    return {}


def order_fault(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Carry out a live order: `clear`, a service that is away, or a fault of running jobs."""
    kind = asked["kind"]
    if kind == "clear":
        controller.faults.clear()
        return {"struck": 0}
    if kind in OF_SERVICES:
        fields = {key: asked[key] for key in ("seconds", "delay_s") if asked.get(key) is not None}
        controller.start_outage(Fault(kind=kind, rate=1.0, **fields))
        return {"struck": 1}
    struck = 0
    for job in [one for one in controller.table.live.values() if one.state == "RUNNING"]:
        is_meant = asked["job"] in (job.id, job.request.id)
        if is_meant and asked["task"] in (None, job.task):
            struck += controller.strike(kind, job)
    controller.log.sync()
    return {"struck": struck}
