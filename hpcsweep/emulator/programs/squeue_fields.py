"""The fields of squeue's --format: headings, and the text for a job."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpcsweep.emulator import arrays, identity, times
from hpcsweep.emulator.names import SHORT_STATES
from hpcsweep.emulator.programs import options
from hpcsweep.emulator.programs.format_fields import FIELD

JobView = dict[str, Any]
# For these states Slurm shows the reason instead of the nodes.
_SHOWS_REASON = frozenset({"PENDING", "TIMEOUT", "FAILED", "OUT_OF_MEMORY", "DEADLINE"})
# `%p` shows a priority as a fraction of this.
_HIGHEST = 1 << 32


@dataclass(frozen=True, slots=True)
class FormatColumn:
    """One field of a format: the text before it, its width, its heading and its value."""

    text: str
    width: str
    heading: str
    value: Callable[[JobView, float], str]


def columns(form: str) -> list[FormatColumn]:
    """The fields of a --format, including the text after the last one."""
    columns = []
    end = 0
    if form == "%all":
        letters = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        form = "|".join(f"%{letter}" for letter in letters if letter in FIELDS)
    for match in FIELD.finditer(form):
        if match[2] not in FIELDS:
            options.refuse("squeue", f"format field %{match[2]}")
        columns.append(FormatColumn(form[end : match.start()], match[1], *FIELDS[match[2]]))
        end = match.end()
    return [*columns, FormatColumn(form[end:], "", "", lambda *_: "")]


def _bitstr_len() -> int | None:
    text = os.environ.get("SLURM_BITSTR_LEN", "")
    return int(text) if text.isdigit() else None


def _job_id(view: JobView) -> str:
    if view["task"] is not None:
        return f"{view['base']}_{view['task']}"
    if view["tasks"]:
        return arrays.array_job_id(view["base"], view["tasks"], view["throttle"], _bitstr_len())
    return str(view["id"])


def _task_id(view: JobView) -> str:
    if view["task"] is not None:
        return str(view["task"])
    if not view["tasks"]:
        return "N/A"
    length = _bitstr_len()
    shown = arrays.cut_ids(view["tasks"], arrays.DEFAULT_BITSTR_LEN if length is None else length)
    return shown + (f"%{view['throttle']}" if view["throttle"] else "")


def _where(view: JobView) -> str:
    return f"({view['reason']})" if view["state"] in _SHOWS_REASON else str(view["node"])


def _used(view: JobView, _: float) -> str:
    return times.elapsed_short(view["run_time"])


def _limit(view: JobView, _: float) -> str:
    return times.elapsed_short(view["time_limit"] * 60) if view["time_limit"] else "UNLIMITED"


def _left(view: JobView, now: float) -> str:
    if not view["started"] or not view["time_limit"]:
        return _limit(view, now)
    return times.elapsed_short(view["limit_s"] - view["run_time"])


def _end(view: JobView) -> str:
    return times.stamp(view["ended"] or view["limit_at"], "NONE" if view["started"] else "N/A")


def _of(key: str, missing: str = "(null)") -> Callable[[JobView, float], str]:
    return lambda view, _: str(view[key]) if view[key] != "" else missing


def shared(view: JobView) -> str:
    """OverSubscribe: whether the job shares its nodes; OK is the default of the partition."""
    return "NO" if view["exclusive"] else "YES" if view["oversubscribe"] else "OK"


def tres_per_node(view: JobView) -> str:
    """The gres on each node, as squeue and scontrol show them; empty for none."""
    prefix = "gres/" if options.version().since("24.11") else "gres:"
    return ",".join(prefix + part for part in view["gres"].split(",") if part)


def _command(view: JobView) -> str:
    return " ".join([view["command"] or "(null)", *view["arguments"]])


FIELDS: dict[str, tuple[str, Callable[[JobView, float], str]]] = {
    "a": ("ACCOUNT", _of("account")),
    "A": ("JOBID", _of("id")),
    "b": ("TRES_PER_NODE", lambda view, _: tres_per_node(view) or "N/A"),
    "B": ("EXEC_HOST", _of("batch_host", "n/a")),
    "c": ("MIN_CPUS", lambda view, _: str(max(1, view["cpus_per_task"]))),
    "C": ("CPUS", _of("cpus")),
    "d": ("MIN_TMP_DISK", lambda *_: "0"),
    "D": ("NODES", _of("nodes")),
    "e": ("END_TIME", lambda view, _: _end(view)),
    "E": ("DEPENDENCY", _of("dependency")),
    "f": ("FEATURES", _of("constraint")),
    "F": ("ARRAY_JOB_ID", _of("base")),
    "g": ("GROUP", lambda view, _: identity.group_name(view["gid"])),
    "G": ("GROUP", _of("gid")),
    "h": ("OVER_SUBSCRIBE", lambda view, _: shared(view)),
    "H": ("SOCKETS_PER_NODE", lambda *_: "*"),
    "i": ("JOBID", lambda view, _: _job_id(view)),
    "I": ("CORES_PER_SOCKET", lambda *_: "*"),
    "j": ("NAME", _of("name", "")),
    "J": ("THREADS_PER_CORE", lambda *_: "*"),
    "k": ("COMMENT", _of("comment")),
    "K": ("ARRAY_TASK_ID", lambda view, _: _task_id(view)),
    "l": ("TIME_LIMIT", _limit),
    "L": ("TIME_LEFT", _left),
    "m": ("MIN_MEMORY", lambda view, _: times.show_megabytes(view["mem_mb"])),
    "M": ("TIME", _used),
    "n": ("REQ_NODES", _of("nodelist", "")),
    "N": ("NODELIST", _of("node", "")),
    "o": ("COMMAND", lambda view, _: _command(view)),
    "O": ("CONTIGUOUS", lambda *_: "0"),
    "p": ("PRIORITY", lambda view, _: f"{view['priority'] / _HIGHEST:.14f}"),
    "P": ("PARTITION", _of("partition")),
    "q": ("QOS", _of("qos")),
    "Q": ("PRIORITY", _of("priority")),
    "r": ("REASON", _of("reason")),
    "R": ("NODELIST(REASON)", lambda view, _: _where(view)),
    "s": ("", lambda *_: ""),
    "S": ("START_TIME", lambda view, _: times.stamp(view["started"] or view["begin"], "N/A")),
    "t": ("ST", lambda view, _: SHORT_STATES[view["state"]]),
    "T": ("STATE", _of("state")),
    "u": ("USER", _of("user")),
    "U": ("UID", _of("uid")),
    "v": ("RESERVATION", lambda *_: "(null)"),
    "V": ("SUBMIT_TIME", lambda view, _: times.stamp(view["submitted"], "N/A")),
    "w": ("WCKEY", _of("wckey")),
    "W": ("LICENSES", lambda *_: "(null)"),
    "x": ("EXC_NODES", _of("exclude", "")),
    "X": ("CORE_SPEC", lambda *_: "N/A"),
    "y": ("NICE", _of("nice")),
    "Y": ("SCHEDNODES", lambda *_: "(null)"),
    "z": ("S:C:T", lambda *_: "*:*:*"),
    "Z": ("WORK_DIR", _of("work_dir")),
}
