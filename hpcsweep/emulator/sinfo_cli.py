"""sinfo."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, hostlist, options, times
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "all,a !dead,d !exact,e !federation !help !hide !iterate,i: !local !long,l !cluster,M: "
    "!clusters,M: !nodes,n: !noconvert noheader,h !Node,N format,o: !Format,O: partition,p: "
    "!responding,r !list-reasons,R !summarize,s !sort,S: !states,t: !reservation,T !usage "
    "!verbose,v version,V !json !yaml"
)
_DEFAULT = "%9P %.5a %.10l %.6D %.6t %N"
_SHORT = {"allocated": "alloc", "mixed": "mix"}
_ORDER = ("mixed", "allocated", "idle", "down")

Group = dict[str, Any]


def main(state_dir: Path, argv: list[str]) -> int:
    """Print partitions and their nodes, one row for each state."""
    found, _ = options.Getopt("sinfo", TABLE).read(argv)
    wanted = dict(found)
    if "version" in wanted:
        return options.version()
    form = wanted.get("format", _DEFAULT)
    for letter in re.findall(r"%\.?\d*(.)", form):
        if letter not in FIELDS:
            options.not_emulated("sinfo", f"format field %{letter}")
    try:
        answer = client.ask(state_dir, {"do": "cluster"})
    except ClusterUnavailable:
        options.say("slurm_load_partitions: Unable to contact slurm controller (connect failure)")
        return 1
    if "noheader" not in wanted:
        print(_line(form, lambda letter: FIELDS[letter][0]))
    # Nodes of different states share a row unless the row shows the state.
    apart = set(re.findall(r"%\.?\d*([tT])", form))
    states = [(state,) for state in _ORDER] if apart else [_ORDER]
    for group in _groups(answer, wanted.get("partition", ""), states):
        print(_line(form, functools.partial(_text, group)))
    return 0


def _groups(
    answer: dict[str, Any], partition: str, states: Sequence[tuple[str, ...]]
) -> list[Group]:
    groups: list[Group] = []
    for number, one in enumerate(answer["config"]["partitions"]):
        if partition and one["name"] not in partition.split(","):
            continue
        for some in states:
            nodes = [node for node in answer["nodes"] if node["state"] in some]
            if nodes:
                groups.append(
                    {
                        "partition": one,
                        "is_default": number == 0,
                        "state": some[0],
                        "nodes": nodes,
                        "config": answer["config"],
                    }
                )
    return groups


def _line(form: str, text_of: Callable[[str], str]) -> str:
    def fill(match: re.Match[str]) -> str:
        text, width = text_of(match[2]), match[1]
        size = int(width.removeprefix(".") or 0)
        if not size:
            return text
        return text[:size].rjust(size) if width.startswith(".") else text[:size].ljust(size)

    return re.sub(r"%(\.?\d*)(.)", fill, form)


def _text(group: Group, letter: str) -> str:
    return FIELDS[letter][1](group)


def _cpus(group: Group) -> str:
    total = group["config"]["cpus"] * len(group["nodes"])
    up = [node for node in group["nodes"] if node["state"] != "down"]
    free = sum(node["free_cpus"] for node in up)
    there = group["config"]["cpus"] * len(up)
    return f"{there - free}/{free}/{total - there}/{total}"


def _limit(group: Group) -> str:
    minutes = group["partition"]["max_time"]
    return times.elapsed_short(minutes * 60) if minutes else "infinite"


FIELDS: dict[str, tuple[str, Callable[[Group], str]]] = {
    "a": ("AVAIL", lambda one: one["partition"]["state"].lower()),
    "c": ("CPUS", lambda one: str(one["config"]["cpus"])),
    "C": ("CPUS(A/I/O/T)", _cpus),
    "D": ("NODES", lambda one: str(len(one["nodes"]))),
    "l": ("TIMELIMIT", _limit),
    "m": ("MEMORY", lambda one: str(one["config"]["mem_mb"])),
    "N": ("NODELIST", lambda one: hostlist.fold(node["name"] for node in one["nodes"])),
    "P": ("PARTITION", lambda one: f"{one['partition']['name']}{'*' * one['is_default']}"),
    "R": ("PARTITION", lambda one: str(one["partition"]["name"])),
    "t": ("STATE", lambda one: _SHORT.get(one["state"], str(one["state"]))),
    "T": ("STATE", lambda one: str(one["state"])),
}
