"""Reduce: when the cases of a sweep are complete, run the manifest's `reduce` once over its table.

A reduce is a sweep of one case, in `reduce/`: submitted, journalled, logged, retried and cancelled
as any other. The parameters of its case are the sweep's directory and the file of the table, which
is named after the sweep's last submission. So it runs once for the same cases, however often it is
asked for, and again when a later submission changed them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hpcsweep.cluster.base import Cluster
from hpcsweep.files import make_directory
from hpcsweep.manifest.exclusive import put_over
from hpcsweep.manifest.frozen import FrozenManifest, sealed
from hpcsweep.manifest.policies import Policies, Reduce
from hpcsweep.records import NODE_JOBS, CaseNeeds, Resources, Status
from hpcsweep.settings import Settings
from hpcsweep.sources.manual_source import ManualSource
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.over import is_over
from hpcsweep.state.reduced import current_reduce, reduce_of
from hpcsweep.state.status import status
from hpcsweep.state.summary import Summary
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.submit import submit
from hpcsweep.submission.sweep_lock import patiently
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables import formats
from hpcsweep.tables.collect import collect

Notify = Callable[[str], None]


def reduce_version(manifest: FrozenManifest, reduce: Reduce, sweep: SweepDirectory) -> Version:
    """The manifest of the reduce, and its only case."""
    table = sweep.table(sweep.submissions()[-1])
    source = ManualSource([{"sweep": str(sweep.path), "table": str(table)}])
    described, cases_sha256 = source.frozen()
    usual = Policies.from_json(manifest.policies)
    own = Policies(
        retry=usual.retry,
        closing=usual.closing,
        requeue=usual.requeue,
        limits=usual.limits,
        is_reduce=True,
    )
    usual_options = manifest.resources.options
    if manifest.nodes:
        usual_options = {**usual_options, "nodes": "1"}
        usual_options.pop("no-kill", None)
    made = replace(
        manifest,
        name=f"{sweep.name}/reduce",
        target=reduce.target,
        source=described,
        cases_sha256=cases_sha256,
        replicates=1,
        chunk=1,
        runs="all",
        case_timeout_s=None,
        ok_if="",
        cache=None,
        # In whole nodes it has one to itself: a site may refuse arrays, the reduce's as well.
        needs=CaseNeeds(slots=1) if manifest.nodes else CaseNeeds(),
        mode=NODE_JOBS if manifest.nodes else manifest.mode,
        nodes=min(1, manifest.nodes),
        resources=Resources(options=put_over(usual_options, reduce.options)),
        policies=own.to_json(),
    )
    return Version.of(sealed(made), source)


def send_reduce(
    request: SubmitRequest,
    outlook: Outlook,
    cluster: Cluster,
    settings: Settings,
    notify: Notify,
) -> Submitted | None:
    """Submit the reduce of a sweep if it is due; None if it is not, or was sent before.

    `advance` sends it once; a user's submit also after an interruption, and with `--rerun failed`,
    as `retry` has it, after a failure. The caller holds the sweep's lock. *Raises* as `submit`.
    *Writes* the table, the sweep of the reduce.
    """
    reduce, sweep = request.policies.reduce, SweepDirectory.open(request.path)
    if reduce is None or not is_over(outlook, request.policies.retry, reduce.when):
        return None
    sent = current_reduce(sweep)
    version = reduce_version(request.manifest, reduce, sweep)
    is_newest = request.manifest.fingerprint == sweep.newest_manifest()
    if sent is not None and is_newest and _is_of_here(sent, sweep):
        version = sent.newest()  # whose target may be newer than that of the last cases
    rerun = _rerun(request.rerun, version, reduce_of(sweep))
    if sent is not None and not _is_wanted_again(status(sent, cluster, settings), request, rerun):
        return None
    _write_table(sweep, cluster, settings)
    own = SubmitRequest(
        manifest=version.manifest,
        source=version.source,
        path=sweep.reduce_dir,
        rerun=rerun,
        allow_mixed=True,
    )
    name = version.manifest.name
    return patiently(lambda: submit(own, cluster, settings, lambda text: notify(f"{name}: {text}")))


def _is_of_here(reduce: SweepDirectory, sweep: SweepDirectory) -> bool:
    """Whether a reduce reads the table where it is now: the sweep may have been renamed."""
    return bool(reduce.newest().source[0].params["sweep"] == str(sweep.path))


def _is_wanted_again(sent: Summary, request: SubmitRequest, rerun: str | None) -> bool:
    """Whether a reduce that was sent for the same cases is to be sent again."""
    if rerun == "all":
        return True
    if sent.is_complete or not sent.is_settled:
        return False
    if request.advances:
        return bool(sent.unsubmitted)
    return rerun == "failed" or not sent.counts[Status.FAILED]


def _rerun(rerun: str | None, version: Version, sent: SweepDirectory | None) -> str | None:
    """Which outcomes of the reduce are computed again.

    Those of another target, and failures where the manifest asks for more now, or a user does.
    """
    before = None if sent is None else sent.newest().manifest
    if before is not None and before.target != version.manifest.target:
        return "all"
    is_changed = before is not None and before.fingerprint != version.fingerprint
    return "failed" if is_changed or rerun in ("failed", "all") else None


def _write_table(sweep: SweepDirectory, cluster: Cluster, settings: Settings) -> None:
    """Write the table of all cases, unless it is there: a task may read it (invariant 9)."""
    path = sweep.table(sweep.submissions()[-1])
    if path.exists():
        return
    make_directory(path.parent)
    collect(
        sweep,
        cluster,
        settings,
        lambda columns, rows: formats.write_file(formats.csv_lines(columns, rows), path),
    )
