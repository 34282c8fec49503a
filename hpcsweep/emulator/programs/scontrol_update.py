"""Parse the words of `scontrol update jobid=...`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

from hpcsweep.emulator import times
from hpcsweep.emulator.programs import options

# Keys whose text is a field of the request, and keys whose value is a number.
_TEXTS = {
    "partition": "partition",
    "name": "name",
    "jobname": "name",
    "comment": "comment",
    "qos": "qos",
    "account": "account",
    "reqnodelist": "nodelist",
    "excnodelist": "exclude",
    "dependency": "dependency",
    "features": "constraint",
    "wckey": "wckey",
    "workdir": "work_dir",
    "mailuser": "",
    "mailtype": "",
}
_NUMBERS = {
    "nice": "nice",
    "priority": "priority",
    "numtasks": "ntasks",
    "numcpus": "ntasks",
    "cpuspertask": "cpus_per_task",
    "requeue": "requeue",
}


def read(pairs: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """The change in `key=value` words; each pair is the word and its value."""
    fields: dict[str, Any] = {}
    how: dict[str, Any] = {"change": "update", "fields": fields, "sign": 0}
    if set(pairs) == {"arraytaskthrottle"}:
        value = pairs["arraytaskthrottle"][1]
        return {"change": "throttle", "value": int(value) if value.isdigit() else 0}
    for key, (word, value) in pairs.items():
        if key in _TEXTS:
            fields[_TEXTS[key]] = value
        elif key in _NUMBERS:
            fields[_NUMBERS[key]] = _number(word, value)
        elif key in _OTHERS:
            kind, fields_of = _OTHERS[key]
            (fields if kind == "fields" else how).update(fields_of(word, value))
        elif key in _REAL:
            options.refuse("scontrol", f"update of a job with {word.partition('=')[0]}")
        else:
            options.to_stderr(f"Update of this parameter is not supported: {word}\nRequest aborted")
            raise SystemExit(1)
    fields.pop("", None)
    return how


_REAL = frozenset(
    {
        *("admincomment", "arraytaskthrottle", "burstbuffer", "clusters", "contiguous", "corespec"),
        *("deadline", "delayboot", "endtime", "gres", "licenses", "mcslabel", "minconfigmb"),
        *("mincpusnode", "mintmpdisknode", "network", "oversubscribe", "power", "reboot"),
        *("reqcores", "reqprocs", "reqsockets", "reqthreads", "reservationname", "resetaccruetime"),
        *(
            "stdout",
            "switches",
            "systemcomment",
            "tasks-per-node",
            "threadspec",
            "timemin",
            "userid",
        ),
    }
)


def _number(word: str, value: str) -> int:
    if not value.lstrip("-").isdigit():
        _refuse(word)
    return int(value)


def _refuse(word: str) -> NoReturn:
    key = word.partition("=")[0]
    options.fail("scontrol", f"Invalid {key} value")


def _time_limit(_: str, value: str) -> dict[str, Any]:
    """A limit in minutes, or its increase (`+10`) or decrease (`-5`)."""
    sign = {"+": 1, "-": -1}.get(value[:1], 0)
    minutes = times.parse_minutes(value.lstrip("+-"))
    if minutes is None:
        options.fail("scontrol", "Invalid TimeLimit value")
    return {"time_limit": minutes, "sign": sign}


def _begin(word: str, value: str) -> dict[str, Any]:
    moment = times.moment(value, time.time())
    if moment is None:
        _refuse(word)
    return {"begin": moment}


def _memory(word: str, value: str) -> dict[str, Any]:
    memory = times.parse_megabytes(value)
    if memory is None:
        _refuse(word)
    return {"mem_mb": memory, "mem_per_cpu": word.lower().startswith("minmemorycpu")}


def _nodes(word: str, value: str) -> dict[str, Any]:
    least, _, most = value.partition("-")
    return {"nodes": _number(word, least), "max_nodes": _number(word, most or least)}


# Keys that change the request (`fields`), and keys that change the job (`how`).
_OTHERS: dict[str, tuple[str, Callable[[str, str], dict[str, Any]]]] = {
    "timelimit": ("how", _time_limit),
    "starttime": ("how", _begin),
    "eligibletime": ("how", _begin),
    "minmemorynode": ("fields", _memory),
    "minmemorycpu": ("fields", _memory),
    "numnodes": ("fields", _nodes),
    "reqnodes": ("fields", _nodes),
}
