"""Closing jobs: behind each array a tiny job that goes on with the sweep when its tasks are over.

To submit one twice does no harm, since `advance` sends nothing twice: so it needs no intent, and
what a kill or a refusal leaves out, the next command makes up for.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from hpcsweep.cluster.jobs import SingleJob
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.records import Part
from hpcsweep.submission.arrays import job_name
from hpcsweep.sweepdir.directory import SweepDirectory, SweepPaths
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.worker.launcher import Launcher, template_environment

CLOSING_SCRIPT = "closing.sbatch"
# Of its job name, which begins as its array's.
CLOSING_SUFFIX = ".closing"
# Options that a closing job shares with its array: account and place; `project` is PBS's account.
_SHARED = ("account", "partition", "project", "qos", "reservation", "wckey")
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
    options = plan.resources(manifest.resources).options
    shared = {name: options[name] for name in _SHARED if name in options}
    own = Policies.from_json(manifest.policies).closing or {}
    return SingleJob(
        name=job_name(manifest.name, sweep.key, plan.submission, part.number) + CLOSING_SUFFIX,
        script=str(paths.submission_dir(plan.submission) / CLOSING_SCRIPT),
        output=str(paths.log_dir(plan.submission) / f"closing-{part.number}.log"),
        options={**shared, **_OWN, **own},
        after=after,
    )
