"""squeue."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, options, times
from hpcsweep.emulator.names import SHORT_STATES
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "accounts,A: all,a array,r !array-unique !Format,O: format,o: !federation !help !hide "
    "!iterate,i: jobs,j: !local long,l !licenses,L: !cluster,M: !clusters,M: me name,n: "
    "!noconvert !node !nodes !nodelist,w: noheader,h partitions,p: !priority,P !qos,q: "
    "!reservation,R: !sib !sibling !sort,S: !start states,t: !steps,s: !usage users>user,u: "
    "user,u: !verbose,v version,V !json !yaml"
)
_DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_LONG = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
VARIABLES = {
    "SQUEUE_ACCOUNT": "accounts",
    "SQUEUE_ALL": "all",
    "SQUEUE_ARRAY": "array",
    "SQUEUE_FORMAT": "format",
    "SQUEUE_NAMES": "name",
    "SQUEUE_PARTITION": "partitions",
    "SQUEUE_STATES": "states",
    "SQUEUE_USERS": "user",
}
REFUSED_VARIABLES = ("SQUEUE_FORMAT2", "SQUEUE_SORT", "SQUEUE_QOS", "SLURM_TIME_FORMAT")
_DEFAULT_STATES = frozenset({"PENDING", "RUNNING", "COMPLETING"})
# Slurm shows why instead of where for these.
_SHOWS_REASON = frozenset({"PENDING", "TIMEOUT", "FAILED", "OUT_OF_MEMORY", "DEADLINE"})
# Slurm's order of states, which is its numbering; what completes comes first.
_ORDER = {
    name: number
    for number, name in enumerate(
        (
            *("COMPLETING", "PENDING", "RUNNING", "COMPLETED"),
            *("CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL"),
        )
    )
}

View = dict[str, Any]


def main(state_dir: Path, argv: list[str]) -> int:
    """Print the queue."""
    wanted = {name: os.environ[key] for key, name in VARIABLES.items() if key in os.environ}
    options.refuse_variables("squeue", *REFUSED_VARIABLES)
    found, _ = options.Getopt("squeue", TABLE).read(argv)
    wanted |= dict(found)
    if "version" in wanted:
        return options.version()
    states = _states(wanted.get("states", ""))
    selectors = _selectors(wanted.get("jobs", ""))
    try:
        ids = [one.job for one in selectors] if "jobs" in wanted else None
        answer = client.ask(state_dir, {"do": "queue", "ids": ids})
    except ClusterUnavailable:
        options.say("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
        return 1
    views = answer["jobs"]
    if not views and len(selectors) == 1:
        options.say("slurm_load_jobs error: Invalid job id specified")
        return 1
    views = sorted(_filtered(views, wanted, states), key=_rank)
    if "array" in wanted:
        views = [one for view in views for one in _expanded(view)]
    else:
        views = _combined(views)
    if selectors:
        views = [part for view in views if (part := _selected(view, selectors))]
    _show(views, wanted, answer["now"])
    return 0


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
        )
        if wanted.get(option)
    }
    users = {str(os.getuid())} if "me" in wanted else _users(wanted.get("user", ""))
    for view in views:
        if states is not None and view["state"] not in states:
            continue
        if any(view[key] not in values for key, values in filters.items()):
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
    return view["partition"], _ORDER.get(view["state"], 99), -view["priority"], view["id"]


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


# -- what of them ----------------------------------------------------------------------------


def _show(views: list[View], wanted: dict[str, str], now: float) -> None:
    default = _LONG if "long" in wanted else _DEFAULT
    parts = _parts(wanted.get("format", default))
    if "noheader" not in wanted:
        if "long" in wanted:
            print(time.strftime("%a %b %d %H:%M:%S %Y"))
        print("".join(text + _fitted(FIELDS[field][0], width) for text, width, field in parts))
    lines = (
        "".join(text + _fitted(FIELDS[field][1](view, now), width) for text, width, field in parts)
        for view in views
    )
    if text := "\n".join(lines):
        print(text)


def _parts(form: str) -> list[tuple[str, str, str]]:
    """Text, width and letter of each field; text after the last one has an empty letter."""
    found = []
    end = 0
    for match in re.finditer(r"%(\.?\d*)(.)", form):
        if match[2] not in FIELDS:
            options.not_emulated("squeue", f"format field %{match[2]}")
        found.append((form[end : match.start()], match[1], match[2]))
        end = match.end()
    return [*found, (form[end:], "", "")]


def _fitted(text: str, width: str) -> str:
    """Cut and padded: `.8` to the right, `8` to the left, nothing as it is."""
    size = int(width.removeprefix(".") or 0)
    if not size:
        return text
    return text[:size].rjust(size) if width.startswith(".") else text[:size].ljust(size)


def _bitstr_len() -> int | None:
    text = os.environ.get("SLURM_BITSTR_LEN", "")
    return int(text) if text.isdigit() else None


def _job_id(view: View) -> str:
    if view["task"] is not None:
        return f"{view['base']}_{view['task']}"
    if view["tasks"]:
        return arrays.array_job_id(view["base"], view["tasks"], view["throttle"], _bitstr_len())
    return str(view["id"])


def _task_id(view: View) -> str:
    if view["task"] is not None:
        return str(view["task"])
    if not view["tasks"]:
        return "N/A"
    length = _bitstr_len()
    shown = arrays.cut_ids(view["tasks"], arrays.DEFAULT_BITSTR_LEN if length is None else length)
    return shown + (f"%{view['throttle']}" if view["throttle"] else "")


def _where(view: View) -> str:
    return f"({view['reason']})" if view["state"] in _SHOWS_REASON else str(view["node"])


def _used(view: View, now: float) -> str:
    if not view["started"]:
        return "0:00"
    return times.elapsed_short((view["ended"] or now) - view["started"])


def _limit(view: View, left_of: float | None = None) -> str:
    if not view["time_limit"]:
        return "UNLIMITED"
    seconds = view["time_limit"] * 60
    if left_of is not None and view["started"]:
        seconds -= (view["ended"] or left_of) - view["started"]
    return times.elapsed_short(seconds)


def _end(view: View) -> str:
    expected = view["started"] + view["time_limit"] * 60 if view["time_limit"] else 0
    return times.stamp(view["ended"] or (expected if view["started"] else 0), "N/A")


def _of(key: str, missing: str = "(null)") -> Callable[[View, float], str]:
    return lambda view, _: str(view[key]) if view[key] != "" else missing


FIELDS: dict[str, tuple[str, Callable[[View, float], str]]] = {
    "": ("", lambda *_: ""),
    "a": ("ACCOUNT", _of("account")),
    "A": ("JOBID", _of("id")),
    "C": ("CPUS", _of("cpus")),
    "D": ("NODES", _of("nodes")),
    "e": ("END_TIME", lambda view, _: _end(view)),
    "E": ("DEPENDENCY", _of("dependency")),
    "F": ("ARRAY_JOB_ID", _of("base")),
    "i": ("JOBID", lambda view, _: _job_id(view)),
    "j": ("NAME", _of("name", "")),
    "k": ("COMMENT", _of("comment")),
    "K": ("ARRAY_TASK_ID", lambda view, _: _task_id(view)),
    "l": ("TIME_LIMIT", lambda view, _: _limit(view)),
    "L": ("TIME_LEFT", _limit),
    "m": ("MIN_MEMORY", lambda view, _: times.show_megabytes(view["mem_mb"])),
    "M": ("TIME", _used),
    "N": ("NODELIST", _of("node", "")),
    "o": ("COMMAND", _of("command")),
    "P": ("PARTITION", _of("partition")),
    "q": ("QOS", _of("qos")),
    "Q": ("PRIORITY", _of("priority")),
    "r": ("REASON", _of("reason")),
    "R": ("NODELIST(REASON)", lambda view, _: _where(view)),
    "S": ("START_TIME", lambda view, _: times.stamp(view["started"] or view["begin"], "N/A")),
    "t": ("ST", lambda view, _: SHORT_STATES[view["state"]]),
    "T": ("STATE", _of("state")),
    "u": ("USER", _of("user")),
    "U": ("UID", _of("uid")),
    "V": ("SUBMIT_TIME", lambda view, _: times.stamp(view["submitted"], "N/A")),
    "y": ("NICE", _of("nice")),
    "Z": ("WORK_DIR", _of("work_dir")),
}
