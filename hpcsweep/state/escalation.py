"""What a retry asks for: more of what ran out, within the caps. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hpcsweep.manifest.policies import Retry
from hpcsweep.quantities import (
    memory_bytes,
    memory_text,
    time_limit_seconds,
    time_limit_text,
)
from hpcsweep.records import Reason, Resources

# sbatch's options that ask for memory; at most one of them is given.
_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
# What ran out, by reason: the name in `retry.scale` and `retry.max`.
RAN_OUT = {Reason.OUT_OF_MEMORY: "mem", Reason.TIMEOUT: "time"}


def escalated(
    asked: Resources,
    reason: Reason,
    retry: Retry,
    used_bytes: int | None = None,
    caps: Mapping[str, int] | None = None,
) -> Resources | None:
    """The resources of the next attempt; None if it could ask for no more than the last one.

    `asked`: of the last attempt. `used_bytes`: the peak of the cases, where it is known: the next
    amount of memory starts from it. `caps`: what the cluster allows, as in `Retry.most`.
    """
    name = RAN_OUT.get(reason)
    if name is None:
        return asked
    most = min(
        (limits[name] for limits in (retry.most, caps or {}) if name in limits), default=None
    )
    if name == "time":
        return _more_time(asked, retry.scale["time"], most)
    return _more_memory(asked, retry.scale["mem"], most, used_bytes)


def _more_time(asked: Resources, factor: float, most: int | None) -> Resources | None:
    seconds = time_limit_seconds(asked.options.get("time", ""))
    if seconds is None:  # no limit of ours ended it: the partition's own, which is its most
        return None
    wanted = min(seconds * factor, most) if most is not None else seconds * factor
    if wanted <= seconds:
        return None
    return Resources(options={**asked.options, "time": time_limit_text(wanted)})


def _more_memory(
    asked: Resources, factor: float, most: int | None, used_bytes: int | None
) -> Resources | None:
    option = next((name for name in _MEMORY if name in asked.options), "mem")
    given = memory_bytes(asked.options.get(option, ""))
    # The peak is that of a whole task: it says nothing of memory per CPU or GPU.
    used = used_bytes if option == "mem" else None
    base = max((count for count in (given, used) if count is not None), default=None)
    if base is None:
        return None
    share = _share(asked, option)
    wanted = min(base * factor, most / share) if most is not None else base * factor
    if wanted <= (given or 0):
        return None
    return Resources(options={**asked.options, option: memory_text(wanted)})


def _share(asked: Resources, option: str) -> int:
    """Count of the shares of a task's memory that an option asks for each."""
    if option == "mem-per-cpu":
        return asked.cpus
    return 1
