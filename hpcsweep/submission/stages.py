"""Stages: what is sent when the cases of a sweep are complete.

A closing job sends them by `advance`, a user's submit where the cases are complete already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hpcsweep.cluster.base import Cluster
from hpcsweep.settings import Settings
from hpcsweep.submission.followers import send_followers
from hpcsweep.submission.reduce import send_reduce
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.submit import submit
from hpcsweep.submission.sweep_lock import awaited_sweep
from hpcsweep.sweepdir.followers import followers


def submit_stages(
    request: SubmitRequest,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None] = lambda _: None,
) -> Submitted:
    """Submit what is missing; if nothing is, submit the reduce, and what follows the sweep.

    *Raises* and *writes* as `submit`. *Safe to repeat.*
    """
    done = submit(request, cluster, settings, notify)
    if done.plans or done.under_way:
        return done
    # With the interpreter that was found for its tasks.
    request = replace(request, manifest=done.outlook.version.manifest)
    if request.policies.reduce is None and not followers(done.sweep.path):
        return done
    with awaited_sweep(done.sweep, notify):
        reduce = send_reduce(request, done.outlook, cluster, settings, notify)
        later = send_followers(done, cluster, settings, notify)
    return replace(done, stages=(*([] if reduce is None else [reduce]), *later))
