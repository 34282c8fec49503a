"""The nodes that a sweep no longer uses, as cases failed there: a fact for each, `nodes/NAME.json`.

They hold until a user submits.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, TypedDict

from hpcsweep.errors import Damaged
from hpcsweep.field_checks import LIST, NUMBER, TEXT, TEXTS, mismatch, schema
from hpcsweep.files import RESTORE, json_bytes, make_directory, names, read_json, write_new

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
    return [_read(sweep / NODES / name) for name in names(sweep / NODES) if name.endswith(".json")]


def exclude(sweep: Path, fact: NodeFact) -> None:
    """Record that a node is excluded. *Safe to repeat.* *Raises* SweepError."""
    path = make_directory(sweep / NODES) / f"{fact['node']}.json"
    with contextlib.suppress(FileExistsError):
        write_new(path, json_bytes(fact))


def forget(sweep: Path) -> None:
    """Use all nodes again: a user has submitted something. *Safe to repeat.*"""
    for name in names(sweep / NODES):
        (sweep / NODES / name).unlink(missing_ok=True)


def _read(path: Path) -> NodeFact:
    fact: Any = read_json(path)
    wrong = mismatch(fact, _NODE)
    if wrong:
        raise Damaged(f"is damaged: {wrong}", where=str(path), next_step=RESTORE)
    found: NodeFact = fact
    return found
