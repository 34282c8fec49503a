"""The rows of squeue: filter the jobs, combine or expand arrays, sort."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from typing import Any

from hpcsweep.emulator import arrays, hostlist
from hpcsweep.emulator.names import LONG_STATES, SHORT_STATES
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.squeue_fields import FIELDS, JobView

# States of pending jobs with a flag.
_FLAGGED = frozenset({"EXPEDITING", "REQUEUE_HOLD"})
_DEFAULT_STATES = _FLAGGED | {"PENDING", "RUNNING", "SUSPENDED", "COMPLETING"}
# The order of states is Slurm's numbering; completing jobs come first.
_STATES_IN_ORDER = (
    "COMPLETING",
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
)
_ORDER = {name: number for number, name in enumerate(_STATES_IN_ORDER)}
_VALID_STATES = (
    "PENDING,RUNNING,SUSPENDED,COMPLETED,CANCELLED,FAILED,TIMEOUT,NODE_FAIL,PREEMPTED,BOOT_FAIL,"
    "DEADLINE,OUT_OF_MEMORY,COMPLETING,CONFIGURING,EXPEDITING,RESIZING,RESV_DEL_HOLD,REQUEUED,"
    "REQUEUE_FED,REQUEUE_HOLD,REVOKED,SIGNALING,SPECIAL_EXIT,STAGE_OUT,STOPPED"
)
# Letters of fields that are sorted by a number, with the key of that number.
_NUMBERS = {
    "A": "id",
    "M": "run_time",
    "S": "started",
    "V": "submitted",
    "l": "time_limit",
    "C": "cpus",
    "D": "nodes",
    "p": "priority",
    "Q": "priority",
    "m": "mem_mb",
    "e": "ended",
    "y": "nice",
    "U": "uid",
}


def states_of(text: str) -> frozenset[str] | None:
    """The states to show; None for all."""
    if not text:
        return _DEFAULT_STATES
    if text.lower() == "all":
        return None
    states = set()
    for word in text.upper().split(","):
        name = LONG_STATES.get(word, word)
        if name not in SHORT_STATES:
            options.to_stderr(f"squeue: error: Invalid job state specified: {word}")
            options.to_stderr(f"squeue: error: Valid job states include: {_valid_states()}")
            options.to_stderr("")
            raise SystemExit(1)
        states.add(name)
    return frozenset(states | _FLAGGED if "PENDING" in states else states)


def _valid_states() -> str:
    version = options.version()
    names = _VALID_STATES if version.since("26.05") else _VALID_STATES.replace(",EXPEDITING", "")
    return names.lower() if version.since("24.11") else names


def selectors_of(text: str) -> list[arrays.Selector]:
    """The selectors in --jobs."""
    selectors = []
    for part in arrays.split_selectors(text):
        selector = arrays.parse_selector(part)
        if selector is None or ("[" in part and options.version().since("26.05")):
            options.fail("squeue", f"Invalid job id: {part}")
        selectors.append(selector)
    return selectors


def chosen(
    views: list[JobView],
    given: dict[str, str],
    states: frozenset[str] | None,
    selectors: list[arrays.Selector],
) -> list[JobView]:
    """The rows that match the filters and the selectors, in Slurm's own order."""
    rows = sorted(_filtered(views, given, states), key=_rank)
    rows = (
        [element for row in rows for element in _expanded(row)]
        if "array" in given
        else _combined(rows)
    )
    if selectors:
        rows = [part for row in rows if (part := _selected(row, selectors))]
    return rows


def _selected(view: JobView, selectors: list[arrays.Selector]) -> JobView | None:
    """The selected part of a row: the named elements of an array's remainder."""
    chosen: set[int] = set()
    for selector in selectors:
        if selector.tasks is None and selector.job in (view["id"], view["base"]):
            return view
        if selector.tasks is not None and selector.job == view["base"]:
            if view["task"] in selector.tasks:
                return view
            chosen |= _tasks(view).intersection(selector.tasks)
    return view | {"tasks": arrays.format_tasks(sorted(chosen))} if chosen else None


def _tasks(view: JobView) -> set[int]:
    return set(arrays.parse_array(view["tasks"], arrays.ANY_ID))


def _filtered(
    views: list[JobView], given: dict[str, str], states: frozenset[str] | None
) -> Iterator[JobView]:
    filters = {
        key: set(given[option].split(","))
        for option, key in (
            ("name", "name"),
            ("partitions", "partition"),
            ("accounts", "account"),
            ("qos", "qos"),
            ("licenses", "licenses"),
            ("reservation", "reservation"),
        )
        if given.get(option)
    }
    users = {str(os.getuid())} if "me" in given else _users(given.get("user", ""))
    nodes = set(hostlist.expand(given.get("nodelist", "")))
    for view in views:
        if states is not None and view["state"] not in states:
            continue
        if any(view.get(key) not in values for key, values in filters.items()):
            continue
        if nodes and not nodes & set(view["places"]):
            continue
        if users is None or str(view["uid"]) in users:
            yield view


def _users(text: str) -> set[str] | None:
    """User ids; None for all users."""
    if not text:
        return None
    uids = set()
    for name in text.split(","):
        try:
            uids.add(name if name.isdigit() else str(pwd.getpwnam(name).pw_uid))
        except KeyError:
            options.to_stderr(f"squeue: error: Invalid user: {name}\n")
    return uids


def _rank(view: JobView) -> tuple[Any, ...]:
    """The key of Slurm's order P,t,-p; among equals the newest comes first."""
    return view["partition"], _ORDER.get(view["state"], 99), -view["priority"], -view["id"]


def _expanded(view: JobView) -> Iterator[JobView]:
    """One row for each element of an array's remainder."""
    if not view["tasks"]:
        yield view
        return
    for task in sorted(_tasks(view)):
        yield view | {"task": task, "tasks": ""}


def _combined(views: list[JobView]) -> list[JobView]:
    """Merge pending elements that were split off into the row of their array, without `%N`."""
    rests = {view["base"]: view for view in views if view["tasks"] and view["state"] == "PENDING"}
    shown = []
    for view in views:
        rest = rests.get(view["base"])
        if rest is None or view is rest or view["state"] != "PENDING":
            shown.append(view)
            continue
        reasons = [*rest["reason"].split(","), view["reason"]]
        rest["tasks"] = arrays.format_tasks(sorted(_tasks(rest) | {view["task"]}))
        rest["reason"] = ",".join(dict.fromkeys(reasons))
        rest["throttle"] = 0
    return shown


def in_order(views: list[JobView], given: dict[str, str], now: float) -> list[JobView]:
    """Sort by --sort: letters of fields; a minus sorts in descending order."""
    text = given.get("sort", "S,i" if "start" in given else "")
    for word in reversed([word for word in text.split(",") if word]):
        letter = word.lstrip("+-")
        if letter not in FIELDS:
            options.fail("squeue", f"Invalid sort specification: {word}")
        views = sorted(views, key=_sort_key(letter, now), reverse=word.startswith("-"))
    return views


def _sort_key(letter: str, now: float) -> Callable[[JobView], Any]:
    """The key of a field: a number, the position in Slurm's order of states, or its text."""
    if letter in "tT":
        return lambda view: _ORDER.get(view["state"], 99)
    if letter == "i":
        return lambda view: (view["base"], -1 if view["task"] is None else view["task"])
    key = _NUMBERS.get(letter)
    if key:
        return lambda view: view[key]
    return lambda view: FIELDS[letter][1](view, now)
