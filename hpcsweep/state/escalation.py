"""What a retry asks for: more of what ran out, within the caps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
    resources: Resources,
    reason: Reason,
    retry: Retry,
    used_bytes: int | None = None,
    caps: Mapping[str, int] | None = None,
) -> Resources | None:
    """The resources of the next attempt; None if it could ask for no more than the last one.

    `resources`: of the last attempt. `used_bytes`: the peak of the cases, where it is known: the
    next amount of memory starts from it. `caps`: what the cluster allows, as in `Retry.most`.
    """
    name = RAN_OUT.get(reason)
    if name is None:
        return resources
    most = min(
        (limits[name] for limits in (retry.most, caps or {}) if name in limits), default=None
    )
    if name == "time":
        return _more_time(resources, retry.scale["time"], most)
    return _more_memory(resources, retry.scale["mem"], most, used_bytes)


def useless_retries(
    resources: Resources, retry: Retry, caps: Mapping[str, int]
) -> Iterator[tuple[Reason, str]]:
    """The reasons after which no retry could ask for more than these resources.

    Each with the option of sbatch that asks for all that the cluster gives.
    """
    for reason, name in RAN_OUT.items():
        options = _MEMORY if name == "mem" else ("time",)
        option = next((one for one in options if one in resources.options), None)
        if option is None or name not in caps or reason not in retry.on:
            continue
        if escalated(resources, reason, retry, caps=caps) is None:
            yield reason, option


def _more_time(resources: Resources, factor: float, most: int | None) -> Resources | None:
    seconds = time_limit_seconds(resources.options.get("time", ""))
    if seconds is None:  # no limit of ours ended it: the partition's own, which is its most
        return None
    limit_s = min(seconds * factor, most) if most is not None else seconds * factor
    if limit_s <= seconds:
        return None
    return Resources(options={**resources.options, "time": time_limit_text(limit_s)})


def _more_memory(
    resources: Resources, factor: float, most: int | None, used_bytes: int | None
) -> Resources | None:
    option = next((name for name in _MEMORY if name in resources.options), "mem")
    given = memory_bytes(resources.options.get(option, ""))
    if option in resources.options and given is None:  # `mem: 0`, all of the node
        return None
    # The peak is that of a whole task: it says nothing of memory per CPU or GPU.
    used = used_bytes if option == "mem" else None
    base = max((count for count in (given, used) if count is not None), default=None)
    if base is None:
        return None
    share = _share(resources, option)
    amount = min(base * factor, most / share) if most is not None else base * factor
    if amount <= (given or 0):
        return None
    return Resources(options={**resources.options, option: memory_text(amount)})


def _share(resources: Resources, option: str) -> int:
    """Count of the shares of a task's memory that an option asks for each."""
    if option == "mem-per-cpu":
        return resources.cpus
    return 1
