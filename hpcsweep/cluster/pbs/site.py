"""What a server of PBS says of its limits: the queries, and the limits in their output. Pure."""

from __future__ import annotations

from dataclasses import replace

from hpcsweep.cluster.ceilings import CPUS, MEMORY, TIME, Ceiling
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.pbs.text import objects
from hpcsweep.errors import ClusterUnavailable

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
        configuration={name: server[name] for name in ("default_queue",) if name in server},
    )


def with_queue(limits: Limits, queue: str, stdout: str) -> Limits:
    """The limits with those of a queue in `qstat -Q`."""
    facts = _only(stdout)
    read = (
        (TIME, "walltime", _seconds),
        (MEMORY, "mem", _bytes),
        (CPUS, "ncpus", lambda text: int(text) if text.isdecimal() else None),
    )
    ceilings = [
        Ceiling(what, amount, f"resources_max.{name} of the queue {queue}")
        for what, name, parse in read
        if (amount := parse(facts.get(f"resources_max.{name}", ""))) is not None
    ]
    kill_wait_s = float(facts.get("kill_delay", limits.kill_wait_s))
    return replace(limits, ceilings=(*limits.ceilings, *ceilings), kill_wait_s=kill_wait_s)


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
