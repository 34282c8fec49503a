"""Which cluster: chosen once when a sweep is submitted, found again by what was recorded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsweep import emulator
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.cluster.submitit.client import BySubmitit, SlurmBySubmitit
from hpcsweep.errors import ClusterError, ClusterUnavailable
from hpcsweep.settings import SUBMITIT, Settings, check_cluster
from hpcsweep.sweepdir.directory import SweepDirectory

SLURM_BY_SUBMITIT = f"{SUBMITIT}slurm"


def choose(kind: str, settings: Settings, sweep: Path) -> Cluster:
    """The cluster that the user named, for the sweep directory that is there, or will be.

    *Raises* ClusterError when it is not here, InputError for no kind of cluster. *Writes* the
    emulator's state directory when that is named, and starts it.
    """
    check_cluster(kind, "")
    if kind == "auto":
        kind = "slurm"
        if shutil.which("sbatch") is None:
            raise ClusterError(
                "there is no sbatch on PATH, so this is not a Slurm cluster",
                next_step="Run this on a login node, or use --cluster emulated to run here.",
            )
    return _open(kind, str(emulator.default_state_dir()), settings, sweep)


def prepare(cluster: Cluster, options: Mapping[str, str]) -> None:
    """Make on an emulated cluster what these sbatch options name, unless it is a strict one.

    *Writes* its configuration. *Safe to repeat.*
    """
    if cluster.kind == "emulated":
        emulator.widen(Path(cluster.state_dir), options)


def recorded(sweep: SweepDirectory, settings: Settings) -> Cluster | None:
    """The cluster of the sweep's last submission; None when it cannot be asked from here."""
    _, document = sweep.plan(sweep.submissions()[-1])
    where: dict[str, Any] = document["cluster"]
    if where["kind"] in ("slurm", SLURM_BY_SUBMITIT) and shutil.which("squeue") is None:
        return None
    # Another user's emulated cluster, or one that is gone.
    if where["kind"] == "emulated" and not os.access(where["state_dir"], os.W_OK):
        return None
    return _open(where["kind"], where["state_dir"], settings, sweep.path)


def again(sweep: SweepDirectory, settings: Settings) -> Cluster:
    """The cluster of the sweep's last submission, to submit to again. *Raises* ClusterError."""
    found = recorded(sweep, settings)
    if found is None:
        raise ClusterError(
            "the cluster of this sweep is not here",
            where=str(sweep.path),
            next_step="Submit the manifest, and name a --cluster.",
        )
    return found


def describe(cluster: Cluster, name: str) -> dict[str, str]:
    """What a submission records of its cluster."""
    return {
        "kind": cluster.kind,
        "name": name,
        "state_dir": cluster.state_dir,
    }


def is_same(cluster: Cluster, recorded: Mapping[str, str]) -> bool:
    """Whether this is the cluster that a submission recorded. *Raises* ClusterUnavailable.

    One that did not tell its name then is any of its kind.
    """
    limits = cluster.limits()
    if not recorded["name"]:
        return describe(cluster, "") == recorded
    if not limits.cluster_name:
        raise ClusterUnavailable(
            f"it is not known whether this is the cluster {recorded['name']}",
            where=" ".join(limits.notes),
            next_step="Try again where scontrol shows its configuration.",
        )
    return describe(cluster, limits.cluster_name) == recorded


def _open(kind: str, state_dir: str, settings: Settings, sweep: Path) -> Cluster:
    if kind.startswith(SUBMITIT) and kind != SLURM_BY_SUBMITIT:
        return BySubmitit(
            kind=kind, sweep=str(sweep.resolve()), timeout_s=settings.command_timeout_s,
            submit_timeout_s=settings.sbatch_timeout_s,
        )  # fmt: skip
    slurm = SlurmBySubmitit if kind == SLURM_BY_SUBMITIT else Slurm
    own = kind == "emulated"
    return slurm(
        kind=kind,
        timeout_s=settings.command_timeout_s,
        sbatch_timeout_s=settings.sbatch_timeout_s,
        environment=emulator.ensure(Path(state_dir)) if own else {},
        state_dir=state_dir if own else "",
    )
