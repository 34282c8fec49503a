"""The fields of sinfo: their names and letters, headings, and texts of groups of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpcsweep.emulator import hostlist, identity, times
from hpcsweep.emulator.programs import options

# A row: nodes of a partition with the same state.
Group = dict[str, Any]

_SHORT_STATES = {"allocated": "alloc", "mixed": "mix"}

# Names of --Format, with the equivalent letters of --format.
LETTERS = {
    "activefeatures": "b",
    "available": "a",
    "cluster": "V",
    "cores": "Y",
    "cpus": "c",
    "cpusload": "O",
    "cpusstate": "C",
    "defaulttime": "L",
    "disk": "d",
    "features": "f",
    "freemem": "e",
    "gres": "G",
    "groups": "g",
    "maxcpuspernode": "B",
    "memory": "m",
    "nodeai": "A",
    "nodeaiot": "F",
    "nodeaddr": "o",
    "nodehost": "n",
    "nodelist": "N",
    "nodes": "D",
    "oversubscribe": "h",
    "partition": "P",
    "partitionname": "R",
    "preemptmode": "M",
    "priorityjobfactor": "I",
    "prioritytier": "p",
    "reason": "E",
    "root": "r",
    "size": "s",
    "socketcorethread": "z",
    "sockets": "X",
    "statecompact": "t",
    "statelong": "T",
    "threads": "Z",
    "time": "l",
    "timestamp": "H",
    "user": "u",
    "userlong": "U",
    "version": "v",
    "weight": "w",
}


def _counts(group: Group, size: int) -> str:
    """Allocated/idle/other/total CPUs of nodes with `size` CPUs, or nodes if `size` is 0."""
    nodes = group["nodes"]
    down = sum(size or 1 for node in nodes if node["state"] == "down")
    if size:
        free = sum(node["free_cpus"] for node in nodes if node["state"] != "down")
    else:
        free = sum(node["state"] == "idle" for node in nodes)
    total = (size or 1) * len(nodes)
    return f"{total - down - free}/{free}/{down}/{total}"


def _limit(minutes: int, missing: str) -> str:
    return times.elapsed_short(minutes * 60) if minutes else missing


def _constant(text: str) -> Callable[[Group], str]:
    return lambda _: text


def _of_down(text: str) -> Callable[[Group], str]:
    """A field that only a down node has."""
    return lambda group: text if group["state"] == "down" else "Unknown"


def _fields() -> dict[str, tuple[str, Callable[[Group], str]]]:
    me = identity.user_name(0)
    return {
        "": ("", _constant("")),
        "a": ("AVAIL", lambda group: group["partition"]["state"].lower()),
        "b": ("ACTIVE_FEATURES", lambda group: ",".join(group["config"]["features"]) or "(null)"),
        "c": ("CPUS", lambda group: str(group["config"]["cpus"])),
        "d": ("TMP_DISK", _constant("0")),
        "e": ("FREE_MEM", lambda group: str(group["config"]["mem_mb"])),
        "f": ("AVAIL_FEATURES", lambda group: ",".join(group["config"]["features"]) or "(null)"),
        "g": ("GROUPS", _constant("all")),
        "h": ("OVERSUBSCRIBE", _constant("NO")),
        "l": ("TIMELIMIT", lambda group: _limit(group["partition"]["max_time"], "infinite")),
        "m": ("MEMORY", lambda group: str(group["config"]["mem_mb"])),
        "n": ("HOSTNAMES", lambda _: identity.host_name()),
        "o": ("NODE_ADDR", _constant("127.0.0.1")),
        "p": ("PRIO_TIER", lambda group: str(group["partition"]["priority_tier"])),
        "r": ("ROOT", _constant("no")),
        "s": ("JOB_SIZE", _constant("1-infinite")),
        "t": ("STATE", lambda group: _SHORT_STATES.get(group["state"], str(group["state"]))),
        "u": ("USER", _of_down(me)),
        "v": ("VERSION", lambda _: options.version().release),
        "w": ("WEIGHT", _constant("1")),
        "z": ("S:C:T", lambda group: f"{group['config']['cpus']}:1:1"),
        "A": ("NODES(A/I)", lambda group: "/".join(_counts(group, 0).split("/")[:2])),
        "B": ("MAX_CPUS_PER_NODE", _constant("UNLIMITED")),
        "C": ("CPUS(A/I/O/T)", lambda group: _counts(group, group["config"]["cpus"])),
        "D": ("NODES", lambda group: str(len(group["nodes"]))),
        "E": ("REASON", lambda group: group["reason"] or "none"),
        "F": ("NODES(A/I/O/T)", lambda group: _counts(group, 0)),
        "G": ("GRES", lambda group: group["config"]["gres"] or "(null)"),
        "H": ("TIMESTAMP", _since),
        "I": ("PRIO_JOB_FACTOR", _constant("1")),
        "L": ("DEFAULTTIME", lambda group: _limit(group["partition"]["default_time"], "n/a")),
        "M": ("PREEMPT_MODE", lambda group: group["partition"]["preempt_mode"]),
        "N": ("NODELIST", lambda group: hostlist.fold(node["name"] for node in group["nodes"])),
        "O": ("CPU_LOAD", _constant("0.00")),
        "P": (
            "PARTITION",
            lambda group: f"{group['partition']['name']}{'*' * group['is_default']}",
        ),
        "R": ("PARTITION", lambda group: str(group["partition"]["name"])),
        "S": ("ALLOCNODES", _constant("all")),
        "T": ("STATE", lambda group: str(group["state"])),
        "U": ("USER", _of_down(f"{me}(0)")),
        "V": ("CLUSTER", _constant("N/A")),
        "X": ("SOCKETS", lambda group: str(group["config"]["cpus"])),
        "Y": ("CORES", _constant("1")),
        "Z": ("THREADS", _constant("1")),
    }


def _since(group: Group) -> str:
    """The time since which its nodes are down."""
    return times.stamp(group["nodes"][0]["since"] if group["nodes"] else 0, "Unknown")


FIELDS = _fields()
