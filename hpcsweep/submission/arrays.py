"""What a part submits to a cluster: the batch script of its submission, and its array."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.cluster.jobs import Array
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.ids import slug
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.records import SINGLE_JOB, Part
from hpcsweep.submission.script import Script
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.worker.launcher import Launcher

SCRIPT_NAME = "array.sbatch"


def is_requeued(manifest: FrozenManifest, limits: Limits) -> bool:
    """Whether Slurm starts a task again that has to end, by the manifest or else by the cluster."""
    own = Policies.from_json(manifest.policies).requeue
    return limits.requeues is not None and (limits.requeues if own is None else own)


def script_for(
    manifest: FrozenManifest, path: Path, plan: Plan, form: ScriptForm, *, requeue: bool = True
) -> str:
    """The exact text of the batch script."""
    paths = SweepPaths(path.resolve())
    return Script(
        form=form,
        sweep_name=manifest.name,
        options=plan.resources(manifest.resources).options,
        launcher=Launcher.of(manifest, paths.path),
        sweep_dir=str(paths.path),
        submission=plan.submission,
        path=str(paths.submission_dir(plan.submission) / SCRIPT_NAME),
        nodes=manifest.nodes if manifest.mode == SINGLE_JOB else 0,
        requeue=requeue,
    ).render()


def array_for(sweep: Path, key: str, manifest: FrozenManifest, plan: Plan, part: Part) -> Array:
    """The array of one part."""
    paths, number = SweepPaths(sweep.resolve()), plan.submission
    return Array(
        part=part,
        job_name=job_name(manifest.name, key, plan.submission, part.number),
        script=str(paths.submission_dir(number) / SCRIPT_NAME),
        logs=str(paths.log_dir(number)),
        directory=manifest.root,
        options=plan.resources(manifest.resources).options,
    )


def job_name(name: str, key: str, submission: int, part: int) -> str:
    """The unique job name of a part: the sweep's name, its key, submission and part."""
    return f"{slug(name, 30)}.{key[:8]}.{submission}.{part}"
