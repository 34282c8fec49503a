"""Stages: what is sent when the cases of a sweep are complete.

A closing job sends them by `advance`, a user's submit where the cases are complete already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hpcsweep.cluster.base import Cluster
from hpcsweep.settings import Settings
from hpcsweep.submission.reduce import send_reduce
from hpcsweep.submission.submit import SubmitRequest, Submitted, submit
from hpcsweep.submission.sweep_lock import awaited_sweep


def submit_stages(
    request: SubmitRequest,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None] = lambda _: None,
) -> Submitted:
    """Submit what is missing; if nothing is, submit the reduce. *Raises* and *writes* as `submit`.

    *Safe to repeat.*
    """
    done = submit(request, cluster, settings, notify)
    if done.plans or done.under_way or request.policies.reduce is None:
        return done
    with awaited_sweep(done.sweep, notify):
        sent = send_reduce(request, done.outlook, cluster, settings, notify)
    return done if sent is None else replace(done, stages=(sent,))
