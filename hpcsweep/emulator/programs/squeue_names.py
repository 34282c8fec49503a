"""The named fields of squeue's --Format."""

from __future__ import annotations

import re
from collections.abc import Callable

from hpcsweep.emulator import times
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.squeue_fields import FIELDS, FormatColumn, JobView

# The equivalent letter of --format, by field name.
LETTERS = {
    "account": "a",
    "arrayjobid": "F",
    "arraytaskid": "K",
    "batchhost": "B",
    "command": "o",
    "comment": "k",
    "contiguous": "O",
    "cores": "I",
    "corespec": "X",
    "dependency": "E",
    "endtime": "e",
    "feature": "f",
    "gres": "b",
    "groupid": "G",
    "groupname": "g",
    "jobarrayid": "i",
    "jobid": "A",
    "licenses": "W",
    "mincpus": "c",
    "minmemory": "m",
    "mintmpdisk": "d",
    "name": "j",
    "nice": "y",
    "nodelist": "N",
    "numcpus": "C",
    "numnodes": "D",
    "oversubscribe": "h",
    "partition": "P",
    "priority": "p",
    "prioritylong": "Q",
    "qos": "q",
    "reason": "r",
    "reasonlist": "R",
    "reqnodes": "n",
    "reservation": "v",
    "schednodes": "Y",
    "sct": "z",
    "sockets": "H",
    "starttime": "S",
    "state": "T",
    "statecompact": "t",
    "submittime": "V",
    "threads": "J",
    "timeleft": "L",
    "timelimit": "l",
    "timeused": "M",
    "tres-per-node": "b",
    "userid": "U",
    "username": "u",
    "wckey": "w",
    "workdir": "Z",
}


def _tres(view: JobView) -> str:
    """`cpu=2,mem=100M,node=1,billing=2`; a running job without a memory request has no mem."""
    memory = "" if view["places"] and not view["mem_mb"] else f"mem={_size(view)},"
    cpus = view["cpus"]
    return f"cpu={cpus},{memory}node={max(1, view['nodes'])},billing={cpus}"


def _size(view: JobView) -> str:
    return times.size(view["allocated_mb"])


def _stamp(key: str) -> Callable[[JobView, float], str]:
    return lambda view, _: times.stamp(view[key], "N/A")


# Fields without a letter.
OTHERS: dict[str, tuple[str, Callable[[JobView, float], str]]] = {
    "accruetime": ("ACCRUE_TIME", _stamp("submitted")),
    "admin_comment": ("ADMIN_COMMENT", lambda *_: "(null)"),
    "allocnodes": ("ALLOC_NODES", lambda view, _: str(view["submit_host"])),
    "batchflag": ("BATCH_FLAG", lambda view, _: str(int(not view["client"]))),
    "cpus-per-task": (
        "CPUS_PER_TASK",
        lambda view, _: str(view["cpus_per_task"] or "N/A"),
    ),
    "deadline": ("DEADLINE", lambda *_: "N/A"),
    "derivedec": ("DERIVED_EC", lambda *_: "0"),
    "eligibletime": ("ELIGIBLE_TIME", _stamp("submitted")),
    "exit_code": ("EXIT_CODE", lambda view, _: str(view["exit_code"])),
    "lastschedeval": ("LAST_SCHED_EVAL", _stamp("submitted")),
    "maxnodes": ("MAX_NODES", lambda view, _: str(view["max_nodes"])),
    "network": ("NETWORK", lambda *_: "(null)"),
    "ntpernode": ("NTASKS_PER_NODE", lambda view, _: str(view["ntasks_per_node"])),
    "numtasks": ("TASKS", lambda view, _: str(view["tasks_asked"])),
    "pendingtime": (
        "PENDING_TIME",
        lambda view, now: str(int((view["started"] or now) - view["submitted"])),
    ),
    "profile": ("PROFILE", lambda *_: "NotSet"),
    "requeue": ("REQUEUE", lambda view, _: str(int(view["requeue"]))),
    "restartcnt": ("RESTART_COUNT", lambda view, _: str(view["restart"])),
    "stderr": ("STDERR", lambda view, _: str(view["stderr"])),
    "stdin": ("STDIN", lambda view, _: str(view["stdin"] or "/dev/null")),
    "stdout": ("STDOUT", lambda view, _: str(view["stdout"])),
    "system_comment": ("SYSTEM_COMMENT", lambda *_: "(null)"),
    "tres": ("TRES_ALLOC", lambda view, _: _tres(view)),
    "tres-alloc": ("TRES_ALLOC", lambda view, _: _tres(view)),
    "tres-per-job": ("TRES_PER_JOB", lambda *_: "N/A"),
    "tres-per-task": ("TRES_PER_TASK", lambda *_: "N/A"),
}


def columns(form: str) -> list[FormatColumn]:
    """The fields of a --Format: `name[:[.]width]`, separated by commas; 20 wide."""
    columns = []
    for word in filter(None, form.replace(" ", "").split(",")):
        name, _, width = word.partition(":")
        if width and not re.fullmatch(r"\.?\d+", width):
            options.refuse("squeue", f"--Format={word}")
        key = name.lower()
        if key in LETTERS:
            heading, value = FIELDS[LETTERS[key]]
        elif key in OTHERS:
            heading, value = OTHERS[key]
        else:
            options.print_error("squeue", f"Invalid job format specification: {name}")
            continue
        columns.append(FormatColumn("", width or "20", heading, value))
    return columns
