"""Nodes on which cases fail for reasons of the node, while others run them well."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import and_

from hpcsweep.quantities import counted
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.schema import cases
from hpcsweep.sweepdir.nodes import NAME, NodeFact
from hpcsweep.sweepdir.stop import error_kind

# Different cases that fail on a node before it is excluded, and nodes in play.
CASES_MIN, NODES_MIN = 2, 2
# At most one of so many nodes is excluded; and one in any case.
SHARE = 4
# Failed rows that are looked at, and cases and messages that a fact names.
ROWS_MAX, NAMED = 5000, 20
# Errors of a node in the words of the system and of GPUs. A full disk of the sweep itself is
# `quota`; another one is the node's own.
_OF_NODE = re.compile(
    r"Input/output error|Stale file handle|No space left on device|Read-only file system"
    r"|CUDA error|CUDA_ERROR_|cudaError|hipError|\bXid\b|NVRM:|uncorrectable ECC"
    r"|GPU has fallen off|NVML: (?:Unknown Error|GPU is lost)",
    re.IGNORECASE,
)
_REASONS = (Reason.NODE_FAIL, Reason.SETUP)
# Reasons that an error of a node may have: of a function, of a command.
_BY_MESSAGE = (Reason.ERROR, Reason.EXIT_CODE, Reason.SIGNAL)
# sbatch's options that name nodes: what a user asked for is not excluded.
_NAMING = ("nodelist", "nodefile")


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A node on which cases failed for reasons of the node."""

    node: str
    # Indices of different cases.
    cases: tuple[int, ...]
    # Kinds of errors, without repetition.
    messages: tuple[str, ...]
    # UTC, ISO 8601: of the first and of the last failure.
    first: str
    last: str
    # Cases that the node completed since the first failure.
    complete_since: int

    @property
    def fact(self) -> NodeFact:
        """The form on disk, of now."""
        return {
            "node": self.node,
            "time": time.time(),
            "first": self.first,
            "last": self.last,
            "cases": list(self.cases[:NAMED]),
            "messages": list(self.messages[:NAMED]),
        }


def failing(
    suspects: Iterable[Suspect], well: Collection[str], seen: int, excluded: int
) -> list[Suspect]:
    """The nodes to exclude, besides those that are. Pure.

    `well`: the nodes that completed cases; `seen`, `excluded`: counts of nodes on which tasks
    started, and that are excluded. A node is bad if it failed more cases than it completed since
    the first failure; where no other node does well, it may be the cases.
    """
    bad = [
        suspect
        for suspect in suspects
        if len(suspect.cases) >= CASES_MIN and len(suspect.cases) > suspect.complete_since
    ]
    if seen < NODES_MIN or not set(well) - {suspect.node for suspect in bad}:
        return []
    most = max(1, seen // SHARE) - excluded
    return sorted(bad, key=lambda suspect: (-len(suspect.cases), suspect.node))[: max(0, most)]


def is_of_node(reason: str | None, error: dict[str, Any] | None) -> bool:
    """Whether a case failed for a reason of its node. Pure."""
    if reason in _REASONS:
        return True
    texts = [str(value) for key, value in (error or {}).items() if key in ("message", "stderr")]
    return reason in _BY_MESSAGE and any(_OF_NODE.search(text) for text in texts)


def nodes_to_exclude(sweep_index: SweepIndex, facts: Collection[NodeFact]) -> list[Suspect]:
    """The nodes to exclude besides those of `facts`, from what the index knows."""
    excluded = {fact["node"] for fact in facts}
    hosts = {(task["submission"], task["chunk"]): task["host"] for task in sweep_index.tasks()}
    seen = {host for host in hosts.values() if host}
    failed: dict[str, list[IndexRow]] = {}
    over = (Status.FAILED.value, Status.INTERRUPTED.value)
    reasons = [reason.value for reason in (*_REASONS, *_BY_MESSAGE)]
    where = and_(cases.c.status.in_(over), cases.c.reason.in_(reasons))
    within = sweep_index.with_status(*over)
    for row in islice(sweep_index.rows(where=where, within=within), ROWS_MAX):
        # What the scheduler said of a case has no host; its task started on one.
        node = row["host"] or hosts.get((row["submission"], row["chunk"])) or ""
        if NAME.fullmatch(node) and is_of_node(row["reason"], _error(row)):
            failed.setdefault(node, []).append(row)
    suspects = [
        _suspect(node, rows, sweep_index)
        for node, rows in failed.items()
        if node not in excluded and len(rows) >= CASES_MIN
    ]
    well = sweep_index.complete_by_host().keys() - excluded
    return failing(suspects, well, len(seen | excluded), len(excluded))


def _suspect(node: str, rows: list[IndexRow], sweep_index: SweepIndex) -> Suspect:
    times = sorted(row["ended"] or row["started"] or "" for row in rows)
    kinds = dict.fromkeys(error_kind(row["reason"], _error(row)) for row in rows)
    return Suspect(
        node=node,
        cases=tuple(sorted({row["idx"] for row in rows})),
        messages=tuple(kinds),
        first=times[0],
        last=times[-1],
        complete_since=sweep_index.complete_by_host(times[0]).get(node, 0),
    )


def _error(row: IndexRow) -> dict[str, Any] | None:
    value = json.loads(row["error"]) if row["error"] else None
    return value if isinstance(value, dict) else None


def without_nodes(resources: Resources, facts: Collection[NodeFact], own: str = "") -> Resources:
    """The same request on other nodes, unless the user names nodes. Pure.

    `own`: what the manifest excludes. The request may be that of an earlier attempt, with nodes
    that are used again.
    """
    options = {name: value for name, value in resources.options.items() if name != "exclude"}
    more = [fact["node"] for fact in facts if fact["node"] not in own.split(",")]
    if any(name in options for name in _NAMING):
        more = []
    text = ",".join([*([own] if own else []), *more])
    return Resources(options={**options, "exclude": text} if text else options)


def excluded_line(fact: NodeFact) -> str:
    """For people."""
    return (
        f"node {fact['node']} is excluded until your next submit: {_cases(fact)} failed there, "
        f"{', '.join(fact['messages'][:3])} (`hpcsweep doctor SWEEP` has a note for the site)"
    )


def site_note(fact: NodeFact) -> str:
    """What the administrators of a site want to know of a node."""
    indices = ", ".join(map(str, fact["cases"]))
    messages = "".join(f"\n  {message}" for message in fact["messages"])
    return (
        f"node {fact['node']}: {_cases(fact)} failed there from {fact['first']} to "
        f"{fact['last']} (UTC), while other nodes ran such cases (indices {indices}):{messages}"
    )


def _cases(fact: NodeFact) -> str:
    return counted(len(fact["cases"]), "case")
