"""The next batch of a search: what `submit` and `advance` send when the trials so far are over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpcsweep.indexset import IndexSet
from hpcsweep.search.versions import current_version, next_version
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.over import has_settled
from hpcsweep.state.trials import search_progress, trial_values
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission import policy
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.version import Version


def with_trials(request: SubmitRequest) -> SubmitRequest:
    """The request with the cases that its search has so far; see `version_at`.

    The caller holds the sweep's lock: a closing job may have added some since they were read.
    """
    version = version_at(request.version, request.path)
    return replace(request, manifest=version.manifest, source=version.source)


def version_at(version: Version, path: Path) -> Version:
    """What a user describes, with the trials that its search has in `path`; of none, a first batch.

    The same version without a search. *Raises* as `current_version`.
    """
    is_there = "search" in version.manifest.policies and (path / MARKER).is_file()
    sweep = SweepDirectory.open(path) if is_there else None
    newest = sweep.newest() if sweep is not None and sweep.submissions() else None
    return current_version(version, newest)


def ask_next(
    request: SubmitRequest,
    outlook: Outlook,
    sweep: SweepDirectory,
    notify: Callable[[str], None],
) -> SubmitRequest | None:
    """The request for the next batch of its search, to be frozen; None where none is due.

    `outlook` is that of the request's version. *Raises* as `ask`.
    """
    search = request.policies.search
    if search is None or request.selection is not None or not outlook.version.cases_to_come:
        return None
    if policy.sendable(outlook, request.policy) or not has_settled(outlook, request.policies.retry):
        return None
    version, count = outlook.version, outlook.version.source.n_cases
    with fresh_index(sweep) as sweep_index:
        values = trial_values(sweep_index, search, count, version.manifest.replicates)
        problem = search_progress(search, sweep, outlook, sweep_index, values).problem
    if problem:
        notify(f"{sweep.name}: {problem}, so no more are sent")
        return None
    grown = next_version(version, values)
    # They are sent as by a submit, and nothing but they.
    return replace(
        request,
        manifest=grown.manifest,
        source=grown.source,
        selection=IndexSet([(count, grown.source.n_cases)]),
        advances=False,
        rerun=None,
        at_once=True,
    )
