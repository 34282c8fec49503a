"""Closing jobs: behind each array a tiny job that goes on with the sweep when its tasks are over.

To submit one twice does no harm, since `advance` sends nothing twice: so it needs no intent, and
what a kill or a refusal leaves out, the next command makes up for.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.jobs import SingleJob
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.errors import ClusterError, ClusterUnavailable
from hpcsweep.manifest.exclusive import put_over, same_request
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.records import Part
from hpcsweep.submission.arrays import job_name
from hpcsweep.submission.hourly_calls import HourlyCalls
from hpcsweep.sweepdir.directory import SweepDirectory, SweepPaths
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.worker.launcher import Launcher, template_environment

CLOSING_SCRIPT = "closing.sbatch"
# Of its job name, which begins as its array's.
CLOSING_SUFFIX = ".closing"
# Options that a closing job shares with its array: account and place, where `project` is PBS's
# account; and `propagate`, which keeps limits of the login node from its processes.
_SHARED = ("account", "partition", "project", "propagate", "qos", "reservation", "wckey")
# What it needs beside them: it reads journals and calls sbatch, and may wait until it is certain
# that the tasks are over. It runs again where its node fails, and where it asks for it.
_OWN = {"cpus-per-task": "1", "mem": "1G", "ntasks": "1", "requeue": "", "time": "00:20:00"}


def closing_script(manifest: FrozenManifest, path: Path, submission: int, form: ScriptForm) -> str:
    """The text of the script."""
    own = Launcher.of(manifest, path).interpreter
    command = own.module("hpcsweep", "advance", str(path.resolve()))
    return (
        template_environment()
        .get_template(form.closing)
        .render(sweep_name=manifest.name, submission=submission, advance=shlex.join(command))
    )


def closing_job(
    sweep: SweepDirectory, manifest: FrozenManifest, plan: Plan, part: Part, after: str | None
) -> SingleJob:
    """The closing job of a part, which waits for the end of a job: its array's."""
    paths = SweepPaths(sweep.path.resolve())
    array_options = plan.resources(manifest.resources).options
    return SingleJob(
        name=job_name(manifest.name, sweep.key, plan.submission, part.number) + CLOSING_SUFFIX,
        script=str(paths.submission_dir(plan.submission) / CLOSING_SCRIPT),
        output=str(paths.log_dir(plan.submission) / f"closing-{part.number}.log"),
        options=closing_options(array_options, _own_options(manifest)),
        after=after,
    )


def _own_options(manifest: FrozenManifest) -> Mapping[str, str]:
    return Policies.from_json(manifest.policies).closing or {}


def closing_options(array: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The options of a closing job, by those of its array and those of the key `closing`."""
    usual = {name: array[name] for name in _SHARED if name in array} | _OWN
    if "mem-per-cpu" in array:  # some sites take no other amount of memory; it has one CPU
        usual["mem-per-cpu"] = usual.pop("mem")
    return put_over(usual, own)


def submit_closing_job(
    cluster: Cluster, job: SingleJob, manifest: FrozenManifest, plan: Plan, calls: HourlyCalls
) -> str:
    """Submit a closing job, whose first call is counted already. Returns its id.

    Where nodes have no memory configured (RealMemory=1), sbatch refuses any amount (22.05), and so
    do plugins of sites: it is sent without one where neither array nor manifest names one.
    *Raises* ClusterError: the first refusal, if that is refused, too.
    """
    try:
        return cluster.submit_job(job)
    except ClusterError as error:
        named = plan.resources(manifest.resources).options.keys() | _own_options(manifest).keys()
        if named & {*same_request("mem")} or not _may_be_for_memory(error):
            raise
        refusal = error
    rest = {name: value for name, value in job.options.items() if name != "mem"}
    try:
        calls.take(1)
        return cluster.submit_job(replace(job, options=rest))
    except ClusterError as error:
        if not _is_refused(error):
            raise
        raise refusal from error


def _may_be_for_memory(error: ClusterError) -> bool:
    """Whether a job may have been refused for its memory: plugins say so in words of their own.

    What names another option, such as "Invalid account", is no such refusal.
    """
    what = error.what.lower()
    return _is_refused(error) and ("invalid" not in what or "mem" in what)


def _is_refused(error: ClusterError) -> bool:
    """Whether the cluster refused a job for good, as the same job is refused again."""
    return not isinstance(error, ClusterUnavailable) and not error.transient
