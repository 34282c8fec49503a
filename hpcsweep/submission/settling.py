"""Wait for the verdicts on the array tasks of a sweep, before `advance` decides.

A closing job starts when the tasks of its array are over. A task that was killed, by a node failure
or an administrator, has no end in its journal; its verdict takes two answers of the cluster, a
grace period apart. If the closing job decided earlier, no job would resubmit that task's cases.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hpcsweep.cluster.base import Cluster
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import ArrayTasks
from hpcsweep.state.scheduler import poll
from hpcsweep.state.status import poll_pause
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


def settle(
    sweep: SweepDirectory, cluster: Cluster, settings: Settings, notify: Callable[[str], None]
) -> None:
    """Poll until the queue answers and every task that is gone from it has a verdict.

    Returns without them after the longest time that a verdict takes. *Writes* as `poll`.
    """
    begun = time.time()
    # A query to the queue, one to accounting, one more to the queue if there is no accounting.
    longest = 2 * (settings.query_interval_s + settings.grace_s) + settings.command_timeout_s
    has_notified = False
    while True:
        before = time.time()
        with fresh_index(sweep) as sweep_index:
            tasks = poll(sweep, sweep_index, cluster, settings)
        now = time.time()
        if is_settled(tasks, begun) or now > begun + longest:
            return
        if not has_notified:
            notify(
                f"waiting for at most {longest:.0f} s until the cluster confirms which array tasks "
                "are over"
            )
            has_notified = True
        time.sleep(poll_pause(now - before))


def is_settled(tasks: ArrayTasks, since: float) -> bool:
    """Whether the queue answered after `since`, and no task is gone without a verdict.

    `since` is in seconds of the epoch.
    """
    if not any(sent.job_id for sent in tasks.parts):
        return True
    return (tasks.polled_at or 0.0) >= since and "gone" not in tasks.states()
