"""The nodes that a sweep no longer uses, as cases failed there: a fact for each, `nodes/NAME.json`.

They hold until a user submits.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TypedDict

from hpcsweep.field_checks import LIST, NUMBER, TEXT, TEXTS, schema
from hpcsweep.files import json_bytes, make_directory, names, remove_files, write_new
from hpcsweep.sweepdir.plan import read_fact

NODES = "nodes"
# A name of a node, which becomes the name of a file and an argument of sbatch.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", re.ASCII)


class NodeFact(TypedDict):
    """Why a node is excluded."""

    node: str
    # Seconds of the epoch.
    time: float
    # UTC, ISO 8601: of the first and of the last failure.
    first: str
    last: str
    # The indices of the cases that failed there, and the kinds of their errors.
    cases: list[int]
    messages: list[str]


_NODE = schema(
    {"node": TEXT, "time": NUMBER, "first": TEXT, "last": TEXT, "cases": LIST, "messages": TEXTS}
)


def node_facts(sweep: Path) -> list[NodeFact]:
    """The excluded nodes by name. *Raises* Damaged."""
    folder = sweep / NODES
    return [read_fact(folder / name, _NODE) for name in names(folder) if name.endswith(".json")]


def exclude(sweep: Path, fact: NodeFact) -> None:
    """Record that a node is excluded. *Safe to repeat.* *Raises* SweepError."""
    path = make_directory(sweep / NODES) / f"{fact['node']}.json"
    with contextlib.suppress(FileExistsError):
        write_new(path, json_bytes(fact))


def forget(sweep: Path) -> None:
    """Use all nodes again: a user has submitted something. *Safe to repeat.*"""
    remove_files(sweep / NODES)
