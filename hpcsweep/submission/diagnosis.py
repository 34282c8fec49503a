"""All checks of `doctor`: of this host, of a sweep, of its cluster and of a compute node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.manifest.policies import Policies
from hpcsweep.manifest.slurm_options import options_text
from hpcsweep.quantities import counted
from hpcsweep.records import Resources
from hpcsweep.runs.check import check_all_files
from hpcsweep.settings import Profile, Settings
from hpcsweep.store.ingest import fresh_index, lost_journals
from hpcsweep.submission import doctor
from hpcsweep.submission.doctor import Check, Finding
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What to check."""

    # None, or a sweep of which also index and files are checked.
    sweep: SweepDirectory | None
    # The directory of sweeps.
    outputs: Path
    # The cluster, as `--cluster` names it, and the profile of its tasks.
    kind: str
    profile: Profile
    # Whether a small job checks a compute node, too,
    node: bool = False
    # and whether this is in that job.
    only_here: bool = False


def diagnose(what: Diagnosis, settings: Settings) -> list[Finding]:
    """Check what sweeps need. *Raises* ClusterError, ClusterUnavailable of the job alone."""
    sweep, outputs = what.sweep, what.outputs
    checks: dict[str, Check] = {"database": partial(_database, sweep)} if sweep else {}
    if sweep and not what.only_here:
        checks |= {"journals": partial(_journals, sweep), "files": partial(_files, sweep)}
    findings = list(doctor.local(outputs, checks))
    if sweep and not what.only_here:
        findings += doctor.nodes(sweep)
    if not what.only_here:
        requested = _requested(sweep, what.profile)
        findings += doctor.cluster(what.kind, settings, outputs, *requested)
    if what.node:
        arguments = [str(sweep.path)] if sweep else [f"--outputs={outputs.resolve()}"]
        opened = registry.choose(what.kind, settings, outputs)
        findings += doctor.on_node(opened, arguments, outputs)
    return findings


def _requested(
    sweep: SweepDirectory | None, profile: Profile
) -> tuple[Resources, Mapping[str, int]]:
    """What the tasks of a sweep ask for, or those of the profile; and the limits that it sets."""
    if sweep is not None and sweep.submissions():
        manifest = sweep.newest().manifest
        return manifest.resources, Policies.from_json(manifest.policies).limits
    # pydantic and the keys of manifests: 80 ms, which reading results need not wait for.
    from hpcsweep.manifest import limit_keys  # noqa: PLC0415

    return Resources(options=options_text(profile.get("slurm", {}))), limit_keys.of_profile(profile)


def _database(sweep: SweepDirectory) -> tuple[bool, str]:
    with fresh_index(sweep) as sweep_index:
        cases = sum(sweep_index.counts().values())
        return True, f"{sweep_index.dialect} of {sweep.name}: {counted(cases, 'case')}"


def _journals(sweep: SweepDirectory) -> tuple[bool, str]:
    with fresh_index(sweep) as sweep_index:
        lost = lost_journals(sweep, sweep_index)
    if not lost:
        return True, "all that the index has read are there"
    return False, (
        f"{counted(len(lost), 'is', 'are')} gone or shorter than when the index read them, such as "
        f"{lost[0]}: the index alone has their outcomes. Restore them from a backup; without one "
        "keep the index, which `hpcsweep archive` saves, and `hpcsweep ingest --salvage` journals "
        "what run directories have"
    )


def _files(sweep: SweepDirectory) -> tuple[bool, str]:
    found = check_all_files(sweep)
    return found.is_intact, found.text
