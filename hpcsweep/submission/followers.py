"""Send a sweep when another one is over: `submit --after OTHER`.

The follower is checked and frozen at once: a mistake is reported to the user, and what is sent is
what was checked. A file in the other sweep's directory names it; the `advance` that finds that
sweep complete, of a closing job or a user, submits it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import HpcsweepError, InputError
from hpcsweep.manifest import source_spec
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.policies import COMPLETE, Policies
from hpcsweep.settings import Settings
from hpcsweep.state.over import is_over, is_sweep_over
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.submit import prepare, submit
from hpcsweep.submission.sweep_lock import awaited_sweep, patiently
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import (
    FollowerFact,
    add_follower,
    follow_each_other,
    followers,
    forget_sent,
)
from hpcsweep.sweepdir.growing import with_cases
from hpcsweep.tables.sweep_cases import SweepCases

Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Follower:
    """A sweep that is to be sent after another one."""

    request: SubmitRequest
    # The manifest's `source:` if its cases are those of the other sweep, for which the request has
    # one that stands for them; None if they are known.
    source: Any = None
    # When the other sweep is over: one of `policies.WHEN`.
    when: str = COMPLETE


def send_after(
    follower: Follower,
    other: SweepDirectory,
    cluster: Cluster,
    settings: Settings,
    notify: Notify = lambda _: None,
) -> bool:
    """Have a sweep submitted when `other` is over; False if it is, and nothing is awaited.

    *Raises* every branch of `errors`; InputError for a cycle. *Safe to repeat*: the last
    call counts. *Writes* the frozen manifest, a file in `other`.
    """
    request = follower.request
    path = request.path.resolve()
    if follow_each_other(path, other.path):
        raise InputError(
            f"{other.name} is sent after {request.manifest.name} itself: none of them would begin",
            where="--after",
            next_step="Name a sweep that does not wait for this one.",
        )
    sweep, request = prepare(request, cluster, notify)
    fact: FollowerFact = {
        "time": time.time(),
        "sweep": str(sweep.path),
        "manifest": request.manifest.fingerprint,
        "throttle": request.throttle,
    }
    if follower.source is not None:
        fact["source"] = follower.source
    if follower.when != COMPLETE:
        fact["when"] = follower.when
    # Under the lock, or the last advance might have come between the question and the file.
    with awaited_sweep(other, notify):
        if is_sweep_over(other, cluster, settings, follower.when):
            return False
        add_follower(other.path, sweep.key, fact)
    return True


def send_followers(
    done: Submitted, cluster: Cluster, settings: Settings, notify: Notify
) -> tuple[Submitted, ...]:
    """Submit what was to be sent after a sweep, if that is over.

    The caller holds the sweep's lock. An error of one does not keep the others; the last one is
    raised at the end. *Raises* as `submit`. *Writes* submissions; removes the files about them.
    """
    sent, problem = [], None
    retry = Policies.from_json(done.outlook.version.manifest.policies).retry
    for fact in followers(done.sweep.path):
        if not is_over(done.outlook, retry, fact.get("when", COMPLETE)):
            continue
        try:
            request = _request(fact, settings)
            sent.append(patiently(partial(submit, request, cluster, settings, notify)))
        except HpcsweepError as error:
            name = Path(fact["sweep"]).name
            notify(f"{name}, which follows {done.sweep.name}, was not sent: {error}")
            problem = error
        else:
            follower = sent[-1].sweep
            forget_sent(done.sweep.path, follower.path, follower.key)
    if problem is not None:
        raise problem
    return tuple(sent)


def _request(fact: FollowerFact, settings: Settings) -> SubmitRequest:
    """What to submit: the frozen version, with the cases that are known only now.

    *Raises* ManifestError for cases that cannot be made, SourceError as `with_cases`.
    """
    path = Path(fact["sweep"])
    version = SweepDirectory.open(path).version(fact["manifest"])
    if "source" in fact:
        mistakes = Mistakes(lambda place: ".".join(map(str, place)), lambda _: ())
        root = Path(version.manifest.root)
        with SweepCases(settings, root) as cases:
            expanded = cases.expand(fact["source"], mistakes)
            spec = source_spec.build(expanded, mistakes, root) if not mistakes else None
        if spec is None or spec.source is None:
            raise mistakes.error(path)
        version = with_cases(version, spec.source)
    return SubmitRequest(
        manifest=version.manifest, source=version.source, path=path, throttle=fact["throttle"]
    )
