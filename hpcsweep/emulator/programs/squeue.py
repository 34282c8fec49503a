"""squeue."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, config, hostlist, times
from hpcsweep.emulator.messages import INVALID_JOB, UNREACHABLE
from hpcsweep.emulator.names import SHORT_STATES
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.squeue_fields import FIELDS, Column, View, columns, fitted
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "accounts,A: all,a array,r array-unique Format,O: format,o: federation help hide "
    "!iterate,i: jobs,j: local long,l licenses,L: !cluster,M: !clusters,M: me name,n: "
    "noconvert node>nodelist nodes>nodelist nodelist,w: noheader,h partitions,p: priority,P qos,q: "
    "reservation,R: sib sibling sort,S: start states,t: steps,s:: usage users>user,u: "
    "user,u: verbose,v version,V json !yaml"
)
_DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_LONG = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
_START = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R"
VARIABLES = {
    "SQUEUE_ACCOUNT": "accounts",
    "SQUEUE_ALL": "all",
    "SQUEUE_ARRAY": "array",
    "SQUEUE_FORMAT": "format",
    "SQUEUE_FORMAT2": "Format",
    "SQUEUE_QOS": "qos",
    "SQUEUE_SORT": "sort",
    "SQUEUE_NAMES": "name",
    "SQUEUE_PARTITION": "partitions",
    "SQUEUE_STATES": "states",
    "SQUEUE_USERS": "user",
}
REFUSED_VARIABLES = ("SLURM_TIME_FORMAT",)
_DEFAULT_STATES = frozenset({"PENDING", "RUNNING", "SUSPENDED", "COMPLETING"})
# Slurm's order of states, which is its numbering; what completes comes first.
_ORDER = {
    name: number
    for number, name in enumerate(
        (
            *("COMPLETING", "PENDING", "RUNNING", "SUSPENDED", "COMPLETED"),
            *("CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL"),
        )
    )
}


def main(state_dir: Path, argv: list[str]) -> int:
    """Print the queue."""
    wanted = {name: os.environ[key] for key, name in VARIABLES.items() if key in os.environ}
    options.refuse_variables("squeue", *REFUSED_VARIABLES)
    found, _ = options.Getopt("squeue", TABLE).read(_steps_apart(argv))
    wanted |= dict(found)
    if options.about("squeue", "", TABLE, wanted):
        return 0
    states = frozenset({"PENDING"}) if "start" in wanted else _states(wanted.get("states", ""))
    selectors = _selectors(wanted.get("jobs", ""))
    try:
        if "steps" in wanted:
            return _show_steps(state_dir, wanted, selectors)
        ids = [one.job for one in selectors] if "jobs" in wanted and "json" not in wanted else None
        answer = client.ask(state_dir, {"do": "queue", "ids": ids})
    except ClusterUnavailable:
        options.say(f"slurm_load_jobs error: {UNREACHABLE}")
        return 1
    if "json" in wanted:  # of all jobs, whatever else was asked (22.05.8)
        from hpcsweep.emulator.programs import squeue_json  # noqa: PLC0415  # few want it

        return squeue_json.show(answer["jobs"], config.load(state_dir).cluster_name)
    views = answer["jobs"]
    if not views and len(selectors) == 1:
        options.say(f"slurm_load_jobs error: {INVALID_JOB}")
        return 1
    views = sorted(_filtered(views, wanted, states), key=_rank)
    if "array" in wanted:
        views = [one for view in views for one in _expanded(view)]
    else:
        views = _combined(views)
    if selectors:
        views = [part for view in views if (part := _selected(view, selectors))]
    _show(_sorted(views, wanted, answer["now"]), _columns(wanted), wanted, answer["now"])
    return 0


def _steps_apart(argv: list[str]) -> list[str]:
    """`-s JOB.STEP` and `-s` alone are both taken: the next word is its value if it names steps."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] in ("-s", "--steps", "--step") and re.fullmatch(r"[\d.,_]+", word):
            words[-1] = f"--steps={word}"
        else:
            words.append(word)
    return words


# -- which jobs ------------------------------------------------------------------------------


def _states(text: str) -> frozenset[str] | None:
    """The states to show; None for all."""
    if not text:
        return _DEFAULT_STATES
    if text.lower() == "all":
        return None
    long_names = {short: name for name, short in SHORT_STATES.items()}
    found = set()
    for word in text.upper().split(","):
        name = long_names.get(word, word)
        if name not in SHORT_STATES:
            options.say(f"squeue: error: Invalid job state specified: {word}")
            options.say(f"squeue: error: Valid job states include: {_VALID_STATES}")
            options.say("")
            raise SystemExit(1)
        found.add(name)
    return frozenset(found)


_VALID_STATES = (
    "PENDING,RUNNING,SUSPENDED,COMPLETED,CANCELLED,FAILED,TIMEOUT,NODE_FAIL,PREEMPTED,BOOT_FAIL,"
    "DEADLINE,OUT_OF_MEMORY,COMPLETING,CONFIGURING,RESIZING,RESV_DEL_HOLD,REQUEUED,REQUEUE_FED,"
    "REQUEUE_HOLD,REVOKED,SIGNALING,SPECIAL_EXIT,STAGE_OUT,STOPPED"
)


def _selectors(text: str) -> list[arrays.Selector]:
    found = []
    for part in arrays.split_selectors(text):
        one = arrays.parse_selector(part)
        if one is None:
            options.error("squeue", f"Invalid job id: {part}")
        found.append(one)
    return found


def _selected(view: View, selectors: list[arrays.Selector]) -> View | None:
    """The part of a row that is asked for: of an array's rest only the elements that are named."""
    chosen: set[int] = set()
    for one in selectors:
        if one.tasks is None and one.job in (view["id"], view["base"]):
            return view
        if one.tasks is not None and one.job == view["base"]:
            if view["task"] in one.tasks:
                return view
            chosen |= _tasks(view).intersection(one.tasks)
    return view | {"tasks": arrays.format_tasks(sorted(chosen))} if chosen else None


def _tasks(view: View) -> set[int]:
    return set(arrays.parse_array(view["tasks"], arrays.ANY_ID))


def _filtered(
    views: list[View], wanted: dict[str, str], states: frozenset[str] | None
) -> Iterator[View]:
    filters = {
        key: set(wanted[option].split(","))
        for option, key in (
            ("name", "name"),
            ("partitions", "partition"),
            ("accounts", "account"),
            ("qos", "qos"),
            ("licenses", "licenses"),
            ("reservation", "reservation"),
        )
        if wanted.get(option)
    }
    users = {str(os.getuid())} if "me" in wanted else _users(wanted.get("user", ""))
    nodes = set(hostlist.expand(wanted.get("nodelist", "")))
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
    """User ids; None for everybody."""
    if not text:
        return None
    found = set()
    for name in text.split(","):
        try:
            found.add(name if name.isdigit() else str(pwd.getpwnam(name).pw_uid))
        except KeyError:
            options.say(f"squeue: error: Invalid user: {name}\n")
    return found


def _rank(view: View) -> tuple[Any, ...]:
    """Slurm's P,t,-p; of equals the newest first."""
    return view["partition"], _ORDER.get(view["state"], 99), -view["priority"], -view["id"]


def _expanded(view: View) -> Iterator[View]:
    """One row for each element of an array's remainder."""
    if not view["tasks"]:
        yield view
        return
    for task in sorted(_tasks(view)):
        yield view | {"task": task, "tasks": ""}


def _combined(views: list[View]) -> list[View]:
    """Waiting elements that were split off their array are shown in its row, without `%N`."""
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


def _sorted(views: list[View], wanted: dict[str, str], now: float) -> list[View]:
    """In the order of --sort: field letters, each with a minus where it falls."""
    text = wanted.get("sort", "S,i" if "start" in wanted else "")
    for word in reversed([word for word in text.split(",") if word]):
        letter = word.lstrip("+-")
        if letter not in FIELDS:
            options.error("squeue", f"Invalid sort specification: {word}")
        views = sorted(views, key=_sort_key(letter, now), reverse=word.startswith("-"))
    return views


def _sort_key(letter: str, now: float) -> Callable[[View], Any]:
    """What a field is compared by: numbers as such, states in Slurm's order, else its text."""
    if letter in "tT":
        return lambda view: _ORDER.get(view["state"], 99)
    if letter == "i":
        return lambda view: (view["base"], -1 if view["task"] is None else view["task"])
    key = {
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
    }.get(letter)
    if key:
        return lambda view: view[key]
    return lambda view: FIELDS[letter][1](view, now)


# -- what of them ----------------------------------------------------------------------------


def _show(views: list[View], columns: list[Column], wanted: dict[str, str], now: float) -> None:
    if "noheader" not in wanted:
        if "long" in wanted:
            print(time.strftime("%a %b %d %H:%M:%S %Y"))
        print("".join(one.text + fitted(one.heading, one.width) for one in columns))
    lines = (
        "".join(one.text + fitted(one.value(view, now), one.width) for one in columns)
        for view in views
    )
    if text := "\n".join(lines):
        print(text)


def _columns(wanted: dict[str, str]) -> list[Column]:
    if "Format" in wanted:
        from hpcsweep.emulator.programs import squeue_names  # noqa: PLC0415  # few want it

        return squeue_names.columns(wanted["Format"])
    default = _START if "start" in wanted else _LONG if "long" in wanted else _DEFAULT
    return columns(wanted.get("format", default))


def _show_steps(state_dir: Path, wanted: dict[str, str], selectors: list[arrays.Selector]) -> int:
    """--steps: those that run, of all jobs, of --jobs, or the ones that are named."""
    named = [word for word in wanted["steps"].split(",") if word]
    answer = client.ask(state_dir, {"do": "steps", "ids": None})
    if "noheader" not in wanted:
        if "long" in wanted:
            print(time.strftime("%a %b %d %H:%M:%S %Y"))
        print("         STEPID     NAME PARTITION     USER      TIME NODELIST")
    jobs = {str(one.job) for one in selectors}
    for one in sorted(answer["steps"], key=lambda one: (one["job"], one["step"])):
        identity = f"{one['job']}.{one['step']}"
        if (jobs and one["job"].partition("_")[0] not in jobs) or (
            named and identity not in named and one["job"] not in named
        ):
            continue
        used = times.elapsed_short(answer["now"] - one["started"])
        cells = (identity[:15], one["name"][:8], one["partition"][:9], one["user"][:8], used)
        print("{:>15} {:>8} {:>9} {:>8} {:>9}".format(*cells), one["nodes"])
    return 0
