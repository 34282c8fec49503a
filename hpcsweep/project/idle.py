"""Hold a sweep of which nothing runs, waits, or is sent later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.settings import Settings
from hpcsweep.state.standstill import has_closing_job
from hpcsweep.state.status import status
from hpcsweep.submission.sweep_lock import SweepLock, locked_sweep
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import followers, is_sent_when
from hpcsweep.sweepdir.locate import argument_for

Notify = Callable[[str], None]


@contextlib.contextmanager
def idle_sweep(
    sweep: SweepDirectory,
    settings: Settings,
    notify: Notify = lambda _: None,
    *,
    force: bool = False,
) -> Iterator[SweepLock]:
    """Hold the lock of a sweep of which nothing runs; with `force` it is not asked whether.

    *Raises* SweepBusy if something runs; SweepError for an archive, and for the reduce of a sweep.
    """
    if not _whole(sweep).is_writable:
        raise SweepError(
            "you may not write here",
            where=str(sweep.path),
            next_step="Ask its owner, or work on a copy: `hpcsweep copy`.",
        )
    with locked_sweep(sweep, notify) as lock:
        if not force:
            refuse_unless_idle(sweep, settings)
        yield lock


@contextlib.contextmanager
def resting_sweep(
    sweep: SweepDirectory, settings: Settings, notify: Notify = lambda _: None
) -> Iterator[None]:
    """Hold a sweep that is read as a whole; another user's cannot be locked, and is only checked.

    *Raises* as `idle_sweep`.
    """
    if _whole(sweep).is_writable:
        with idle_sweep(sweep, settings, notify):
            yield
    else:
        refuse_unless_idle(sweep, settings)
        yield


def _whole(sweep: SweepDirectory) -> SweepDirectory:
    """The sweep if it is no part of another one, and no archive. *Raises* SweepError."""
    whole, slash, part = sweep.name.partition("/")
    if slash:
        raise SweepError(
            f"is the {part} of {whole}, and part of it",
            where=str(sweep.path),
            next_step=f"Name {whole}.",
        )
    return sweep.writable()


def refuse_unless_idle(sweep: SweepDirectory, settings: Settings) -> None:
    """*Raises* SweepBusy if anything of a sweep runs, waits, or is sent later.

    What a cluster that cannot be asked had last counts as running. *Writes* as `status`.
    """
    _refuse_with_followers(sweep)
    when = is_sent_when(sweep.path)
    why = "" if when is None else f"it is sent when {when}"
    if not why and sweep.submissions():
        cluster = registry.open_recorded(sweep, settings)
        summary = status(sweep, cluster, settings)
        tasks = sum(summary.tasks.values())
        if tasks:
            asked = "" if cluster else ", as far as is known: its cluster is not reached from here"
            why = f"{tasks} of its array tasks run or wait{asked}"
        elif summary.reduced is not None and summary.reduced.is_under_way:
            why = "its reduce runs or waits"
        elif has_closing_job(sweep, cluster, settings):
            why = "its closing job waits in the queue, and goes on with it"
    if why:
        argument = argument_for(sweep.name, sweep.shown_path)
        raise SweepBusy(
            why,
            where=str(sweep.path),
            next_step=f"Wait for it (`hpcsweep status {argument}`), or `hpcsweep cancel "
            f"{argument}` first.",
        )


def _refuse_with_followers(sweep: SweepDirectory) -> None:
    """*Raises* SweepBusy if other sweeps are sent after this one: they have its path."""
    later = [Path(fact["sweep"]) for fact in followers(sweep.path)]
    if later:
        argument = argument_for(later[0].name, str(later[0]))
        raise SweepBusy(
            f"{', '.join(path.name for path in later)} is sent after it",
            where=str(sweep.path),
            next_step=f"Wait until it is sent; or `hpcsweep cancel {argument}` gives that up.",
        )
