"""What a server of PBS says of its limits: the queries, and the limits in their output. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpcsweep.cluster.ceilings import CPUS, MEMORY, TIME, Ceiling, Impossible
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.pbs.text import objects
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.quantities import time_limit_seconds, time_limit_text

# Defaults of a server and of a queue (23.06).
MAX_ARRAY_SIZE, KILL_DELAY_S = 10_000, 10.0
_UNITS = {"b": 0, "kb": 10, "mb": 20, "gb": 30, "tb": 40}


def qstat_server() -> list[str]:
    """Query the server's attributes."""
    return ["qstat", "-B", "-f"]


def qstat_queue(queue: str) -> list[str]:
    """Query a queue's attributes."""
    return ["qstat", "-Q", "-f", queue]


def limits_in(stdout: str) -> Limits:
    """Name and limits of the server in `qstat -B`. *Raises* ClusterUnavailable without one."""
    server = _only(stdout)
    if "server_host" not in server:
        raise ClusterUnavailable(f"qstat answered {stdout!r:.200}, which names no server")
    return Limits(
        cluster_name=server["server_host"],
        # Ours is one more than the largest index, and of that one less is used.
        max_array_size=int(server.get("max_array_size", MAX_ARRAY_SIZE)) + 1,
        kill_wait_s=KILL_DELAY_S,
        time_step_s=1,
        # qrerun is for operators: no task asks for another start.
        requeues=None,
        runs_jobs=True,
        configuration=server,
    )


def queue_in(stdout: str) -> dict[str, str]:
    """The attributes of the queue in `qstat -Q`; none without one."""
    return _only(stdout)


def with_queue(
    limits: Limits, name: str, queue: Mapping[str, str], options: Mapping[str, str]
) -> Limits:
    """The limits of a task with these options in a queue with these attributes.

    The server's `resources_max` holds for what the queue does not limit (23.06).
    """
    server = limits.configuration
    read = (
        (TIME, "walltime", _seconds),
        (MEMORY, "mem", _bytes),
        (CPUS, "ncpus", lambda text: int(text) if text.isdecimal() else None),
    )
    ceilings = []
    for what, resource, parse in read:
        key = f"resources_max.{resource}"
        has, where = (queue, f"the queue {name}") if key in queue else (server, "the server")
        if (amount := parse(has.get(key, ""))) is not None:
            ceilings.append(Ceiling(what, amount, f"{key} of {where}"))
    sizes = [int(has["max_array_size"]) for has in (queue, server) if "max_array_size" in has]
    return replace(
        limits,
        ceilings=(*limits.ceilings, *ceilings),
        impossible=(*limits.impossible, *_too_short(name, queue, options)),
        max_array_size=min(sizes, default=MAX_ARRAY_SIZE) + 1,
        kill_wait_s=float(queue.get("kill_delay", limits.kill_wait_s)),
        default_time_s=_default_time_s(queue, server),
    )


def _default_time_s(queue: Mapping[str, str], server: Mapping[str, str]) -> int | None:
    """The time limit of a task that names none, in the order of the server (23.06).

    Of a routing queue it is that of the queue that the task gets to, so it is not known.
    """
    if queue.get("queue_type") == "Route":
        return None
    for key in ("resources_default.walltime", "resources_max.walltime"):
        for has in (queue, server):
            if (seconds := _seconds(has.get(key, ""))) is not None:
                return seconds
    return None


def _too_short(name: str, queue: Mapping[str, str], options: Mapping[str, str]) -> list[Impossible]:
    """Why a queue for long tasks refuses this one: sites route short ones elsewhere."""
    least = _seconds(queue.get("resources_min.walltime", ""))
    asked = time_limit_seconds(options.get("time", ""))
    if least is None or asked is None or asked >= least:
        return []
    what = f"asks for {time_limit_text(asked)}, and the queue {name} takes tasks of "
    return [
        Impossible(
            "time",
            f"{what}{time_limit_text(least)} or more (resources_min.walltime)",
            "Ask for that, or name another queue by `partition`.",
        )
    ]


def _only(stdout: str) -> dict[str, str]:
    return next(iter(objects(stdout).values()), {})


def _seconds(text: str) -> int | None:
    """Seconds of `HH:MM:SS`, or of a number of seconds."""
    seconds = 0
    for field in text.split(":"):
        if not field.isdecimal():
            return None
        seconds = seconds * 60 + int(field)
    return seconds


def _bytes(text: str) -> int | None:
    """Bytes of a size such as `100mb`."""
    digits = text.rstrip("bkmgtBKMGT")
    power = _UNITS.get(text[len(digits) :].lower() or "b")
    return int(digits) << power if digits.isdecimal() and power is not None else None
