"""What an sbatch asks for: whether this cluster takes it, in Slurm's words where it does not."""

from __future__ import annotations

import re
import time
from typing import Any

from hpcsweep import files
from hpcsweep.emulator import arrays, associations, dependencies, launch
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.controller import Controller
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
        "id": controller.new_id(),
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
    if asked["test_only"]:
        return {"job": request.id, "cpus": request.cpus, "partition": partition.name}
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
    _check_size(controller, asked)
    return ids


def _check_names(settings: EmulatorConfig, wanted: dict[str, Any]) -> None:
    """Features, nodes, accounts and QOS that are named must be there."""
    if not set(re.findall(r"[^&|()\[\]*,\s]+", wanted["constraint"])) <= set(settings.features):
        raise refused("Invalid feature specification")
    if wanted["nodelist"] and wanted["nodelist"] not in settings.node_names:
        raise refused("Invalid node name specified")
    if not set(gres_counts(wanted["gres"])) <= set(gres_counts(settings.gres)):
        raise refused("Invalid generic resource (gres) specification")
    associations.check_names(settings, wanted)


def _check_size(controller: Controller, asked: dict[str, Any]) -> None:
    """One job, one node; what is too large for the whole cluster waits for ever."""
    settings, wanted = controller.settings, asked["request"]
    cpus = max(1, wanted["cpus_per_task"]) * max(1, wanted["ntasks"])
    memory = wanted["mem_mb"] * (cpus if wanted["mem_per_cpu"] else 1)
    if wanted["nodes"] > settings.nodes or cpus > settings.nodes * settings.cpus:
        return
    if wanted["nodes"] > 1 or (wanted["ntasks"] > 1 and cpus > settings.cpus):
        raise refused("hpcsweep emulator: a job on more than one node is not emulated")
    there = gres_counts(settings.gres)
    short = any(count > there[name] for name, count in gres_counts(wanted["gres"]).items())
    if not (short or cpus > settings.cpus or memory > settings.mem_mb) or asked["hold"]:
        return
    controller.new_id()  # Slurm notices it after it has given the job an id
    detail = "" if short else "Memory specification can not be satisfied"
    if cpus > settings.cpus:
        detail = "CPU count per node can not be satisfied"
    raise refused(_NO_NODE, detail="" if asked["test_only"] else detail)
