"""Options of sbatch that exclude each other: the upper layer wins; in one layer it is a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Options of one group request the same thing. sbatch refuses two of them (22.05 and 26.05), or
# takes one as a bound of the other, which is never meant when a profile is overridden.
_GROUPS = (
    ("mem", "mem-per-cpu", "mem-per-gpu"),
    ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres", "tres-per-task"),
    ("ntasks", "ntasks-per-node", "tasks-per-node", "ntasks-per-gpu", "ntasks-per-tres"),
    ("cpus-per-task", "cpus-per-gpu"),
    ("core-spec", "thread-spec"),
    ("exclusive", "oversubscribe"),
    ("nodelist", "nodefile"),
)
_GROUP_OF = {name: group for group in _GROUPS for name in group}
# Generic resources that are GPUs: `gpu`, `gpu:a100:2`, `gres/gpu=1`.
_GPU = re.compile(r"(gres[/:])?gpu\b")


def same_request(name: str) -> tuple[str, ...]:
    """The options that request the same thing as one, with itself."""
    return _GROUP_OF.get(name, (name,))


def put_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two layers of options: `above` wins, also over options that it excludes."""
    result = dict(below)
    for name in _members(above):
        for other in _excluded(name, result):
            replaced = result.pop(other)
            if other == "gres" and (rest := _without_gpus(replaced)):
                result[other] = rest
    return result | dict(above)


def clashes(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of options that exclude each other: the later one, and the first one."""
    seen: dict[tuple[str, ...], str] = {}
    for name in _members(options):
        first = seen.setdefault(_GROUP_OF[name], name)
        if first != name:
            yield name, first


def _members(options: Mapping[str, Any]) -> Iterator[str]:
    """The options that exclude others: not those switched off, and not gres without GPUs."""
    for name, value in options.items():
        if name not in _GROUP_OF or value is False:
            continue
        if name not in ("gres", "tres-per-task") or any(map(_GPU.match, str(value).split(","))):
            yield name


def _excluded(name: str, options: Mapping[str, Any]) -> list[str]:
    return [option for option in _members(options) if option != name and option in _GROUP_OF[name]]


def _without_gpus(value: Any) -> str:
    """The parts of a value of gres that are not GPUs, such as a disk."""
    return ",".join(part for part in str(value).split(",") if not _GPU.match(part))
