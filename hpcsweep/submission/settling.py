"""Wait until it is known which array tasks of a sweep are over, before `advance` decides.

A closing job starts when the tasks of its array are over. One that was killed, by its node or an
administrator, left no end in its journal: that it is over is certain only after two answers of the
cluster, a grace period apart. A closing job that decided before would leave its cases to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hpcsweep.cluster.base import Cluster
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import ArrayTasks
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory

# Seconds between two looks: ten times the duration of one, but at least the first, at most the
# second.
LOOK_S = (0.3, 30.0)


def settle(
    sweep: SweepDirectory, cluster: Cluster, settings: Settings, notify: Callable[[str], None]
) -> None:
    """Wait for an answer of the queue, and for the verdicts on tasks that are gone from it.

    Gives up when no cluster answers for the time that a verdict takes. *Writes* as `poll`.
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
                f"waiting for at most {longest:.0f} s until it is certain which array tasks are "
                "over"
            )
            has_notified = True
        shortest, most = LOOK_S
        time.sleep(min(most, max(shortest, 10 * (now - before))))


def is_settled(tasks: ArrayTasks, since: float) -> bool:
    """Whether the queue answered after that time, and holds every task without a verdict.

    `since`: seconds of the epoch.
    """
    if not any(sent.job_id for sent in tasks.parts):
        return True
    return (tasks.asked or 0.0) >= since and "gone" not in tasks.states()
