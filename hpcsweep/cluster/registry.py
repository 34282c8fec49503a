"""The kinds of clusters: choose one at a submission, find it again by its record.

A new kind needs a line in `CLUSTERS`, and its name in completion, `--help` and `docs/`.
"""

from __future__ import annotations

import pkgutil
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hpcsweep.cluster.base import Cluster, Opening
from hpcsweep.errors import ClusterError, ClusterUnavailable, InputError
from hpcsweep.settings import AUTO, Settings
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.plan import ClusterRecord

# What makes a cluster of each kind, without starting or querying anything: `module:name`, imported
# when that kind is meant. A kind that ends with a colon is followed by a name.
CLUSTERS = {
    "slurm": "hpcsweep.cluster.slurm.client:Slurm.open",
    "pbs": "hpcsweep.cluster.pbs.client:Pbs.open",
    "emulated": "hpcsweep.cluster.emulated:Emulated.open",
    "submitit:": "hpcsweep.cluster.submitit.client:open_executor",
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_kind(kind: object, where: str) -> None:
    """*Raises* InputError for an unknown kind of cluster."""
    if kind != AUTO:
        _maker(kind, where)


def choose(kind: str, settings: Settings, sweep: Path) -> Cluster:
    """The cluster that the user named, for a sweep directory that may not exist yet.

    AUTO is Slurm; without its programs, the cluster that the sweep was submitted to before.

    *Raises* ClusterError if it is not reachable from here, InputError for an unknown kind. Starts
    the emulated cluster if that is named, and *writes* its state directory.
    """
    check_kind(kind, "")
    if kind == AUTO:
        kind = "slurm"
        if shutil.which("sbatch") is None:
            known = (sweep / MARKER).is_file() and open_recorded(
                SweepDirectory.open(sweep), settings
            )
            if known:  # as on a laptop, where the first submission named it
                return known
            here = "pbs to use qsub" if shutil.which("qsub") else "emulated to run here"
            raise ClusterError(
                "there is no sbatch on PATH, so this is not a Slurm cluster",
                next_step=f"Run this on a login node, or use --cluster {here}.",
            )
    cluster = _open(kind, "", settings, sweep)
    cluster.start()
    return cluster


def unstarted(kind: str, settings: Settings, sweep: Path) -> Cluster:
    """The cluster of a kind, not started, perhaps not reachable from here; AUTO is Slurm."""
    return _open("slurm" if kind == AUTO else kind, "", settings, sweep)


def of_record(record: ClusterRecord, sweep: SweepDirectory, settings: Settings) -> Cluster:
    """The cluster that a submission recorded; not started, perhaps not reachable from here."""
    return reopen(record, sweep.path, settings)


def reopen(record: ClusterRecord, directory: Path, settings: Settings) -> Cluster:
    """The cluster of a record in a directory; not started, perhaps not reachable from here."""
    return _open(record["kind"], record["state_dir"], settings, directory)


def open_recorded(sweep: SweepDirectory, settings: Settings) -> Cluster | None:
    """The cluster of the last submission, started; None without one, or if it is not reachable."""
    numbers = sweep.submissions()
    if not numbers:
        return None
    _, document = sweep.plan(numbers[-1])
    cluster = of_record(document["cluster"], sweep, settings)
    if not cluster.is_here:
        return None
    cluster.start()
    return cluster


def require_recorded(sweep: SweepDirectory, settings: Settings) -> Cluster:
    """The cluster of the sweep's last submission, to submit to again.

    *Raises* ClusterError; SweepError before the first submission.
    """
    sweep.newest_manifest()
    cluster = open_recorded(sweep, settings)
    if cluster is None:
        raise ClusterError(
            "the cluster of this sweep cannot be reached from here",
            where=str(sweep.path),
            next_step="Submit the manifest, and name a --cluster.",
        )
    return cluster


def record(cluster: Cluster, name: str) -> ClusterRecord:
    """The record of a cluster in a submission."""
    return {
        "kind": cluster.kind,
        "name": name,
        "state_dir": cluster.state_dir,
    }


def is_same_kind(cluster: Cluster, recorded: ClusterRecord) -> bool:
    """Whether a submission recorded this kind and state directory, whatever its name."""
    return record(cluster, recorded["name"]) == recorded


def is_same(cluster: Cluster, recorded: ClusterRecord) -> bool:
    """Whether this is the cluster that a submission recorded. *Raises* ClusterUnavailable.

    A record without a cluster name matches every cluster of its kind.
    """
    limits = cluster.limits()
    if not recorded["name"]:
        return is_same_kind(cluster, recorded)
    if not limits.cluster_name:
        raise ClusterUnavailable(
            f"it is not known whether this is the cluster {recorded['name']}",
            where=" ".join(limits.notes),
            next_step="Try again where scontrol shows its configuration.",
        )
    return record(cluster, limits.cluster_name) == recorded


def _open(kind: str, state_dir: str, settings: Settings, sweep: Path) -> Cluster:
    make: Callable[[Opening], Cluster] = pkgutil.resolve_name(_maker(kind, str(sweep)))
    opening = Opening(kind=kind, state_dir=state_dir, sweep=sweep.resolve(), settings=settings)
    return make(opening)


def _maker(kind: object, where: str) -> str:
    """The maker of a kind, as in `CLUSTERS`. *Raises* InputError for an unknown kind."""
    word, colon, name = kind.partition(":") if isinstance(kind, str) else ("", "", "")
    if word + colon in CLUSTERS and (not colon or _NAME.fullmatch(name)):
        return CLUSTERS[word + colon]
    *others, last = [f"{kind}EXECUTOR" if kind.endswith(":") else kind for kind in CLUSTERS]
    raise InputError(
        f"cluster: {kind!r} is not a kind of cluster",
        where=where,
        next_step=f"Known are {', '.join([AUTO, *others])} and {last}; EXECUTOR is slurm, local, "
        "or that of a plugin of submitit.",
    )
