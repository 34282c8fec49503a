"""Whether a sweep is over, so that what follows it may begin: its reduce, or another sweep."""

from __future__ import annotations

from hpcsweep.cluster.base import Cluster
from hpcsweep.manifest.policies import COMPLETE, SETTLED, Policies, Retry
from hpcsweep.settings import Settings
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.state.standstill import to_send
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


def is_over(outlook: Outlook, retry: Retry | None, when: str) -> bool:
    """Whether every case is complete; where `when` is SETTLED, or nothing more happens by itself.

    Not before a search has all of its trials. `when` is one of `policies.WHEN`. Pure.
    """
    if outlook.version.cases_to_come:
        return False
    return outlook.is_complete or (when == SETTLED and has_settled(outlook, retry))


def has_settled(outlook: Outlook, retry: Retry | None) -> bool:
    """Whether nothing more happens by itself to the cases that there are. Pure."""
    waits = outlook.in_flight or outlook.indices(State.UNSUBMITTED) - outlook.withdrawn
    return not (waits or to_send(outlook, retry))


def is_sweep_over(
    sweep: SweepDirectory, cluster: Cluster | None, settings: Settings, when: str = COMPLETE
) -> bool:
    """`is_over` of a sweep as it is now; False before its first submission. *Writes* as `poll`."""
    if not sweep.submissions():
        return False
    with fresh_index(sweep) as sweep_index:
        outlook = outlook_of(sweep, sweep_index, poll(sweep, sweep_index, cluster, settings))
    return is_over(outlook, Policies.from_json(outlook.version.manifest.policies).retry, when)
