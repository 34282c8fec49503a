"""Admission: accept the request of an sbatch, or refuse it with Slurm's message.

`where` of a refusal is the line that sbatch prints before it.
"""

from __future__ import annotations

import dataclasses
import re
import time
from functools import partial
from typing import Any

from hpcsweep.emulator import arrays, dependency_syntax, hostlist
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon import associations, job_files
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import JobRequest, gres_counts
from hpcsweep.emulator.messages import INVALID_GRES, INVALID_PARTITION
from hpcsweep.errors import ClusterError, ClusterUnavailable, InputError

# Slurm 22.05's exact limits: one byte more is refused.
_MAX_SCRIPT = 4_194_304
_MAX_NAME = 1024

# Why a job waits that asks for more CPUs or nodes than there are.
_TOO_MANY = ("PartitionConfig", "PartitionNodeLimit")
_TOO_LONG = "Pathname of a file, directory or other parameter too long"
_NO_NODE = "Requested node configuration is not available"
# MaxJobCount is reached; 26.05 has a code of its own for it.
_UNAVAILABLE, _FULL = "Resource temporarily unavailable", "MaxJobCount limit reached"


def submit(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Queue a job or an array. *Safe to repeat* with the same token."""
    fields, settings, table = message["request"], controller.settings, controller.table
    for earlier in table.requests.values():
        if earlier.token == fields["token"]:
            return {"job": earlier.id}
    if not message["test_only"] and controller.faults.refuses(settings.fault_plan, fields["name"]):
        controller.note_fault("refuse", {"name": fields["name"]})
        raise ClusterError(associations.POLICY, where="AssocMaxSubmitJobLimit")
    ids = _check(controller, message)
    request = _with_defaults(settings, fields, ids)
    _check_size(controller, message, request)
    request = dataclasses.replace(request, id=table.new_id())
    if message["test_only"]:
        places = hostlist.fold(controller.pool.find_places(request)) or "n1"
        answer = {"job": request.id, "cpus": request.cpus, "partition": request.partition}
        return answer | {"nodes": places}
    script = message["script"].encode(errors="surrogateescape")
    environment = message["environment"]
    job_files.write_submission(controller.state_dir, request.id, script, environment)
    controller.submit(request, ids, held=message["hold"], begin=message["begin"])
    if _loses_answer(controller, request.name):
        raise ClusterError("Socket timed out on send/recv operation")
    return {"job": request.id}


def _loses_answer(controller: Controller, name: str) -> bool:
    """Schedule the faults of an accepted sbatch. Returns whether its answer is lost."""
    faults = controller.faults.of_submission(controller.settings.fault_plan, name)
    for fault, delay_s in faults.services:
        controller.timers.at(time.time() + delay_s, partial(controller.start_outage, fault))
    if faults.loses_answer:
        controller.note_fault("submit_timeout", {"name": name})
    return faults.loses_answer


def _with_defaults(settings: EmulatorConfig, fields: dict[str, Any], ids: list[int]) -> JobRequest:
    """The request with the cluster's defaults; its id is still 0."""
    partition = settings.partition(fields["partition"])
    if partition is None:
        raise ClusterError(INVALID_PARTITION)
    limit = fields["time_limit"]
    values = fields | {
        "id": 0,
        "submitted": time.time(),
        "partition": partition.name,
        "account": fields["account"] or settings.account,
        "qos": fields["qos"] or settings.default_qos,
        "time_limit": partition.default_time or partition.max_time if limit is None else limit,
        "array": fields["array"] if ids else "",
        "arguments": tuple(fields["arguments"]),
        # --mem=0 requests all memory of a node.
        "mem_mb": settings.mem_mb if fields["mem_mb"] < 0 else fields["mem_mb"],
    }
    return JobRequest(**values)


def _check(controller: Controller, message: dict[str, Any]) -> list[int]:
    """Check a request; the array's task ids. *Raises* ClusterError."""
    settings, fields, table = controller.settings, message["request"], controller.table
    lengths = (
        (fields["array"], arrays.MAX_ARRAY_STRING),
        (fields["name"], _MAX_NAME),
        (message["script"], _MAX_SCRIPT),
    )
    if any(len(text.encode(errors="surrogateescape")) > limit for text, limit in lengths):
        raise ClusterError(_TOO_LONG)
    partition = settings.partition(fields["partition"])
    if partition is None:
        detail = f"invalid partition specified: {fields['partition']}"
        raise ClusterError(INVALID_PARTITION, where=detail)
    if partition.state == "INACTIVE":
        raise ClusterError("Required partition not available (inactive or drain)")
    _check_names(settings, fields)
    try:
        ids = arrays.parse_array(fields["array"], settings.max_array_size)
        conditions, _ = dependency_syntax.parse(fields["dependency"])
    except InputError as error:
        raise ClusterError(error.what) from error
    ids_in_use = {0, *table.requests, *table.jobs}
    if (
        settings.version.since("24.11")
        and not {condition.job for condition in conditions} <= ids_in_use
    ):
        raise ClusterError(dependency_syntax.PROBLEM)
    elements = max(1, len(ids))
    if table.count() + elements > settings.max_job_count:
        raise ClusterUnavailable(_FULL if settings.version.since("26.05") else _UNAVAILABLE)
    if limit := associations.submit_obstacle(
        settings, table.live.values(), fields["uid"], fields["qos"], elements
    ):
        raise ClusterError(associations.POLICY, where=limit)
    return ids


def _check_names(settings: EmulatorConfig, fields: dict[str, Any]) -> None:
    """Refuse features, nodes, gres, accounts and QOS that do not exist. *Raises* ClusterError."""
    if not set(re.findall(r"[^&|()\[\]*,\s]+", fields["constraint"])) <= set(settings.features):
        raise ClusterError("Invalid feature specification")
    for name in ("nodelist", "exclude"):
        try:
            nodes = hostlist.expand(fields[name])
        except ValueError:
            nodes = [fields[name]]
        if not set(nodes) <= set(settings.node_names):
            raise ClusterError("Invalid node name specified")
    if not set(gres_counts(fields["gres"])) <= set(gres_counts(settings.gres)):
        raise ClusterError(INVALID_GRES)
    associations.check_names(settings, fields["account"], fields["qos"])


def _check_size(controller: Controller, message: dict[str, Any], request: JobRequest) -> None:
    """Refuse a request that fits on no node; one above the size of the cluster pends.

    *Raises* ClusterError.
    """
    settings = controller.settings
    misfit = controller.pool.misfit(request)
    # 24.11 alone refuses these, where the versions before and after it let them wait.
    refuses_count = settings.slurm_version == "24.11" and misfit in _TOO_MANY
    if message["hold"] or not (misfit == "BadConstraints" or refuses_count):
        return
    controller.table.new_id()  # Slurm checks this after it has assigned a job id
    available = gres_counts(settings.gres)
    detail = "" if message["test_only"] else "Memory specification can not be satisfied"
    cpus = request.cpus_of_task * max(1, request.ntasks_per_node)
    if request.max_nodes == 1:
        cpus = request.cpus
    counts = gres_counts(request.gres)
    if refuses_count or any(count > available[name] for name, count in counts.items()):
        detail = ""
    elif cpus > settings.cpus:
        detail = "" if message["test_only"] else "CPU count per node can not be satisfied"
    elif request.memory_of(cpus) <= settings.mem_mb:
        detail = ""
    raise ClusterError(_NO_NODE, where=detail)
