"""squeue --json: every job in memory, in the layout of 22.05.8 (openapi v0.0.38)."""

from __future__ import annotations

import json
from typing import Any

from hpcsweep.emulator import identity
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.squeue_fields import tres_per_node
from hpcsweep.emulator.programs.squeue_names import columns

# Fields without a value in the emulator.
_EMPTY_TEXTS = (
    "admin_comment batch_features burst_buffer burst_buffer_state cluster_features container "
    "cpus_per_tres federation_origin federation_siblings_active federation_siblings_viable "
    "het_job_id_set licenses mcs_label memory_per_tres prefer resv_name state_description "
    "system_comment tres_bind tres_freq tres_per_job tres_per_socket tres_per_task"
)
_NULLS = (
    "core_spec thread_spec cores_per_socket cpu_frequency_minimum cpu_frequency_maximum "
    "cpu_frequency_governor tasks_per_core tasks_per_socket profile sockets_per_node "
    "threads_per_core"
)
_ZEROS = (
    "deadline delay_boot derived_exit_code het_job_id het_job_offset max_cpus "
    "minimum_tmp_disk_per_node preempt_time resize_time sockets_per_board tasks_per_board "
    "time_minimum array_max_tasks"
)


def show(views: list[dict[str, Any]], cluster: str) -> int:
    """Print all jobs."""
    jobs = [_job(view) | {"cluster": cluster} for view in views]
    text = json.dumps({"meta": _meta(), "errors": [], "jobs": jobs}, indent=2)
    print(text.replace("/", "\\/"))
    return 0


def _meta() -> dict[str, Any]:
    release = options.version().release
    major, minor, micro = (int(part) for part in release.split("."))
    return {
        "plugin": {"type": "openapi/v0.0.38", "name": "Slurm OpenAPI v0.0.38"},
        "Slurm": {
            "version": {"major": major, "micro": micro, "minor": minor},
            "release": release,
        },
    }


def _job(view: dict[str, Any]) -> dict[str, Any]:
    tres = columns("tres")[0].value(view, 0)
    fields: dict[str, Any] = dict.fromkeys(_EMPTY_TEXTS.split(), "")
    fields |= dict.fromkeys(_NULLS.split()) | dict.fromkeys(_ZEROS.split(), 0)
    per_cpu = view["mem_mb"] if view["mem_per_cpu"] else None
    return fields | {
        "account": view["account"],
        "accrue_time": int(view["begin"] or view["submitted"]),
        "array_job_id": view["base"] if view["array"] else 0,
        "array_task_id": view["task"],
        "array_task_string": view["tasks"],
        "association_id": 2,
        "batch_flag": not view["client"],
        "batch_host": view["batch_host"],
        "flags": ["JOB_WAS_RUNNING"] if view["started"] else [],
        "command": view["command"],
        "comment": view["comment"],
        "contiguous": False,
        "billable_tres": float(view["cpus"]) if view["places"] else None,
        "cpus_per_task": view["cpus_per_task"] or None,
        "dependency": view["dependency"],
        "eligible_time": 0 if view["reason"].startswith("JobHeld") else int(view["submitted"]),
        "end_time": int(view["ended"] or view["limit_at"]),
        "excluded_nodes": view["exclude"],
        "exit_code": view["exit_code"] << 8 | view["exit_signal"],
        "features": view["constraint"],
        "gres_detail": [],
        "group_id": view["gid"],
        "group_name": identity.group_name(view["gid"]),
        "job_id": view["id"],
        "job_state": view["state"],
        "last_sched_evaluation": int(view["started"] or view["submitted"]),
        "max_nodes": view["max_nodes"],
        "name": view["name"],
        "nodes": view["node"],
        "nice": view["nice"] or None,
        "tasks_per_node": view["ntasks_per_node"],
        "cpus": view["cpus"],
        "node_count": view["nodes"],
        "tasks": view["tasks_asked"],
        "partition": view["partition"],
        "memory_per_node": None if view["mem_per_cpu"] else view["mem_mb"] or None,
        "memory_per_cpu": per_cpu or None,
        "minimum_cpus_per_node": max(1, view["cpus_per_task"]),
        "pre_sus_time": 0,
        "priority": view["priority"],
        "qos": view["qos"],
        "reboot": False,
        "required_nodes": view["nodelist"],
        "requeue": view["requeue"],
        "restart_cnt": view["restart"],
        "shared": "none" if view["exclusive"] else None,
        "show_flags": ["SHOW_ALL", "SHOW_DETAIL", "SHOW_LOCAL"],
        "start_time": int(view["started"]),
        "state_reason": view["reason"],
        "standard_error": "" if view["stderr"] == view["stdout"] else view["stderr"],
        "standard_input": view["stdin"] or "/dev/null",
        "standard_output": view["stdout"],
        "submit_time": int(view["submitted"]),
        "suspend_time": int(view["suspended"]),
        "time_limit": view["time_limit"] or None,
        "tres_per_node": tres_per_node(view),
        "tres_req_str": tres,
        "tres_alloc_str": tres if view["places"] else "",
        "user_id": view["uid"],
        "user_name": view["user"],
        "wckey": view["wckey"],
        "current_working_directory": view["work_dir"],
    }
