"""Which cluster: chosen once when a sweep is submitted, found again by what was recorded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsweep import emulator
from hpcsweep.cluster.slurm import Slurm
from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import ClusterError
from hpcsweep.settings import Settings


def choose(kind: str, settings: Settings) -> Slurm:
    """The cluster that the user named. *Raises* ClusterError when it is not here.

    *Writes* the emulator's state directory when that is named, and starts it.
    """
    if kind == "auto":
        kind = "slurm"
        if shutil.which("sbatch") is None:
            raise ClusterError(
                "there is no sbatch on PATH, so this is not a Slurm cluster",
                next_step="Run this on a login node, or use --cluster emulated to run here.",
            )
    return _open(kind, str(emulator.default_state_dir()), settings)


def prepare(cluster: Slurm, options: Mapping[str, str]) -> None:
    """Make on an emulated cluster what these sbatch options name, unless it is a strict one.

    *Writes* its configuration. *Safe to repeat.*
    """
    if cluster.kind == "emulated":
        emulator.widen(Path(cluster.state_dir), options)


def recorded(sweep: SweepDirectory, settings: Settings) -> Slurm | None:
    """The cluster of the sweep's last submission; None when it cannot be asked from here."""
    _, document = sweep.plan(sweep.submissions()[-1])
    where: dict[str, Any] = document["cluster"]
    if where["kind"] == "slurm" and shutil.which("squeue") is None:
        return None
    if where["kind"] == "emulated" and not Path(where["state_dir"]).is_dir():
        return None
    return _open(where["kind"], where["state_dir"], settings)


def again(sweep: SweepDirectory, settings: Settings) -> Slurm:
    """The cluster of the sweep's last submission, to submit to again. *Raises* ClusterError."""
    found = recorded(sweep, settings)
    if found is None:
        raise ClusterError(
            "the cluster of this sweep is not here",
            where=str(sweep.path),
            next_step="Submit the manifest, and name a --cluster.",
        )
    return found


def describe(cluster: Slurm, name: str) -> dict[str, str]:
    """What a submission records of its cluster."""
    return {
        "kind": cluster.kind,
        "name": name,
        "state_dir": cluster.state_dir,
    }


def is_same(cluster: Slurm, recorded: Mapping[str, str]) -> bool:
    """Whether this is the cluster that a submission recorded. *Raises* ClusterUnavailable."""
    return describe(cluster, cluster.limits().cluster_name) == recorded


def _open(kind: str, state_dir: str, settings: Settings) -> Slurm:
    if kind == "emulated":
        environment = emulator.ensure(Path(state_dir))
        return Slurm(
            kind=kind,
            timeout_s=settings.command_timeout_s,
            sbatch_timeout_s=settings.sbatch_timeout_s,
            environment=environment,
            state_dir=state_dir,
        )
    return Slurm(
        kind=kind,
        timeout_s=settings.command_timeout_s,
        sbatch_timeout_s=settings.sbatch_timeout_s,
    )
