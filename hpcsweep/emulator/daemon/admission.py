"""What an sbatch asks for: whether this cluster takes it, in Slurm's words where it does not."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

from hpcsweep import files
from hpcsweep.emulator import arrays, dependencies, hostlist
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon import associations, launch
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import Request, gres_counts
from hpcsweep.errors import ClusterError, ClusterUnavailable, InputError

# Slurm 22.05's limits, exact: one byte more is refused.
_MAX_SCRIPT = 4_194_304
_MAX_NAME = 1024

_TOO_LONG = "Pathname of a file, directory or other parameter too long"
_NO_NODE = "Requested node configuration is not available"


def refused(message: str, detail: str = "") -> ClusterError:
    """Slurm's word for no; `detail` is the line that sbatch prints before it."""
    return ClusterError(message, where=detail)


def submit(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Queue a job or an array. *Safe to repeat* with the same token."""
    wanted, settings = asked["request"], controller.settings
    for known in controller.requests.values():
        if known.token == wanted["token"]:
            return {"job": known.id}
    if not asked["test_only"] and controller.faults.refused(wanted["name"]):
        raise refused(associations.POLICY, detail="AssocMaxSubmitJobLimit")
    ids = _check(controller, asked)
    partition = settings.partition(wanted["partition"])
    if partition is None:
        raise refused("Invalid partition name specified")
    limit = wanted["time_limit"]
    wanted |= {
        "id": 0,
        "submitted": time.time(),
        "partition": partition.name,
        "account": wanted["account"] or settings.account,
        "qos": wanted["qos"] or settings.default_qos,
        "time_limit": partition.default_time or partition.max_time if limit is None else limit,
        "array": wanted["array"] if ids else "",
        "arguments": tuple(wanted["arguments"]),
    }
    if wanted["mem_mb"] < 0:  # --mem=0: all of a node
        wanted["mem_mb"] = settings.mem_mb
    request = Request(**wanted)
    _check_size(controller, asked, request)
    request = dataclasses.replace(request, id=controller.new_id())
    if asked["test_only"]:
        found = {"job": request.id, "cpus": request.cpus, "partition": partition.name}
        return found | {"nodes": hostlist.fold(controller.pool.place(request)) or "n1"}
    kept = files.make_directory(launch.submission_dir(controller.state_dir, request.id))
    script = asked["script"].encode(errors="surrogateescape")
    files.write_new(kept / "script", script, mode=0o700)
    files.write_new(kept / "environment", files.json_bytes(asked["environment"]))
    controller.add(request, ids, held=asked["hold"], begin=asked["begin"])
    if controller.faults.submitted(request.name):
        raise refused("Socket timed out on send/recv operation")
    return {"job": request.id}


def _check(controller: Controller, asked: dict[str, Any]) -> list[int]:
    """The array's task ids of a request that can be accepted. *Raises* ClusterError."""
    settings, wanted = controller.settings, asked["request"]
    lengths = [(wanted["array"], arrays.MAX_ARRAY_STRING), (wanted["name"], _MAX_NAME)]
    lengths.append((asked["script"], _MAX_SCRIPT))
    if any(len(text.encode(errors="surrogateescape")) > limit for text, limit in lengths):
        raise refused(_TOO_LONG)
    partition = settings.partition(wanted["partition"])
    if partition is None:
        detail = f"invalid partition specified: {wanted['partition']}"
        raise refused("Invalid partition name specified", detail=detail)
    if partition.state == "INACTIVE":
        raise refused("Required partition not available (inactive or drain)")
    _check_names(settings, wanted)
    try:
        ids = arrays.parse_array(wanted["array"], settings.max_array_size)
        dependencies.parse(wanted["dependency"])
    except InputError as error:
        raise refused(error.what) from error
    if controller.count() + max(1, len(ids)) > settings.max_job_count:
        raise ClusterUnavailable("Resource temporarily unavailable")
    associations.check_submit(controller, wanted, max(1, len(ids)))
    return ids


def _check_names(settings: EmulatorConfig, wanted: dict[str, Any]) -> None:
    """Features, nodes, accounts and QOS that are named must be there."""
    if not set(re.findall(r"[^&|()\[\]*,\s]+", wanted["constraint"])) <= set(settings.features):
        raise refused("Invalid feature specification")
    for name in ("nodelist", "exclude"):
        try:
            nodes = hostlist.expand(wanted[name])
        except ValueError:
            nodes = [wanted[name]]
        if not set(nodes) <= set(settings.node_names):
            raise refused("Invalid node name specified")
    if not set(gres_counts(wanted["gres"])) <= set(gres_counts(settings.gres)):
        raise refused("Invalid generic resource (gres) specification")
    associations.check_names(settings, wanted)


def _check_size(controller: Controller, asked: dict[str, Any], request: Request) -> None:
    """What no set of nodes could take is refused; what is too large for all of them waits."""
    settings = controller.settings
    misfit = controller.pool.misfit(request)
    if misfit != "BadConstraints" or asked["hold"]:
        return
    controller.new_id()  # Slurm notices it after it has given the job an id
    there = gres_counts(settings.gres)
    detail = "" if asked["test_only"] else "Memory specification can not be satisfied"
    cpus = request.cpus_of_task * max(1, request.ntasks_per_node)
    if request.max_nodes == 1:
        cpus = request.cpus
    if any(count > there[name] for name, count in gres_counts(request.gres).items()):
        detail = ""
    elif cpus > settings.cpus:
        detail = "" if asked["test_only"] else "CPU count per node can not be satisfied"
    elif request.memory_of(cpus) <= settings.mem_mb:
        detail = ""
    raise refused(_NO_NODE, detail=detail)
