"""Submit a sweep when another one is over, to that one's cluster: `submit --after OTHER`."""

from __future__ import annotations

from collections.abc import Callable

from hpcsweep.cluster import registry
from hpcsweep.errors import InputError
from hpcsweep.settings import Settings
from hpcsweep.state.over import is_sweep_over
from hpcsweep.state.standstill import by_hand
from hpcsweep.submission.followers import Follower, send_after
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import over_text


def submit_after(
    follower: Follower,
    other: SweepDirectory,
    cluster: str | None,
    settings: Settings,
    notify: Callable[[str], None],
) -> list[str] | None:
    """Have a sweep submitted when `other` is over. Returns what to tell; None if it is already.

    `cluster` is the kind that the user names; a sweep that was not submitted may follow on any.
    *Raises* and *writes* as `send_after`.
    """
    recorded = registry.open_recorded(other, settings)
    if recorded is not None and cluster not in (None, recorded.kind):
        raise InputError(
            f"{other.name} is on the cluster {recorded.kind}, and what follows it is sent there",
            where="--cluster",
            next_step="Leave it out.",
        )
    request = follower.request
    is_over = is_sweep_over(other, recorded, settings, follower.when)
    if not is_over:
        named = cluster or settings.cluster
        opened = recorded or registry.choose(named, settings, request.path)
        is_over = not send_after(follower, other, opened, settings, notify)
    if is_over:
        notify(f"{other.name} is {follower.when}: nothing to wait for")
        return None
    lines = [f"{request.manifest.name}: is sent when {over_text(follower.when, other.name)}"]
    if other.submissions() and not _has_closing_jobs(other):
        lines.append(f"{other.name} has no closing jobs. {by_hand(other.path)}")
    return lines


def _has_closing_jobs(sweep: SweepDirectory) -> bool:
    """Whether a closing job was submitted behind an array of the last submission."""
    facts = sweep.part_facts(sweep.submissions()[-1])
    return any("closing" in part_facts for part_facts in facts.values())
