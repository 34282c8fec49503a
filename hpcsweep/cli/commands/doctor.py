"""`doctor`: check the requirements of sweeps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import Context, load_context
from hpcsweep.cli.options import cluster_option, common, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsweep.records import Resources
    from hpcsweep.submission.doctor import Check
    from hpcsweep.sweepdir.directory import SweepDirectory

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.argument("sweep", metavar="[SWEEP]", required=False, shell_complete=completion.sweeps)
@click.option("--node", is_flag=True, help="Check from a compute node, too: submits a small job.")
@click.option("--here", "only_here", is_flag=True, hidden=True)
@cluster_option
@json_option
@common
def command(
    sweep: str | None,
    node: bool,
    only_here: bool,
    cluster: str | None,
    as_json: bool,
    **shared: Any,
) -> None:
    """Check what sweeps need, here and on a compute node.

    Versions, cluster, file system, quota; with a SWEEP its database, and whether the files of every
    complete case are there and can be read.
    """
    from hpcsweep.cli.render.console import print_document, print_facts
    from hpcsweep.cluster import registry
    from hpcsweep.submission import doctor

    context = load_context(**shared)
    kind = cluster or context.settings.cluster
    directory = context.sweep(sweep) if sweep else None
    checks: dict[str, Check] = {"database": partial(_database, directory)} if directory else {}
    if directory and not only_here:
        checks["files"] = partial(_files, directory)
    outputs = directory.path.parent if directory else context.outputs()
    findings = list(doctor.local(outputs, checks))
    if directory and not only_here:
        findings += doctor.nodes(directory)
    if not only_here:
        findings += doctor.cluster(kind, context.settings, outputs, *_requested(context, directory))
    if node:
        arguments = [str(directory.path)] if directory else [f"--outputs={outputs.resolve()}"]
        opened = registry.choose(kind, context.settings, outputs)
        findings += doctor.on_node(opened, arguments, outputs)
    if as_json:
        print_document(doctor.to_json(findings))
    else:
        print_facts(
            [
                (finding.host, finding.what, (finding.state, _COLOURS[finding.state]), finding.text)
                for finding in findings
            ]
        )
    if any(finding.state == "problem" for finding in findings) and not only_here:
        raise click.exceptions.Exit(1)


def _requested(
    context: Context, sweep: SweepDirectory | None
) -> tuple[Resources, Mapping[str, int]]:
    """What the tasks of a sweep ask for, or those of the profile; and the limits that it sets."""
    from hpcsweep.manifest import limit_keys
    from hpcsweep.manifest.policies import Policies
    from hpcsweep.manifest.slurm_options import options_text
    from hpcsweep.records import Resources

    if sweep is not None and sweep.submissions():
        manifest = sweep.newest().manifest
        return manifest.resources, Policies.from_json(manifest.policies).limits
    options = options_text(context.profile.get("slurm", {}))
    return Resources(options=options), limit_keys.of_profile(context.profile)


def _database(sweep: SweepDirectory) -> tuple[bool, str]:
    from hpcsweep.store.ingest import fresh_index

    with fresh_index(sweep) as sweep_index:
        cases = sum(sweep_index.counts().values())
        return True, f"{sweep_index.dialect} of {sweep.name}: {cases} cases"


def _files(sweep: SweepDirectory) -> tuple[bool, str]:
    from hpcsweep.runs.find import DamageReport, lost_files
    from hpcsweep.store.ingest import fresh_index

    report = DamageReport()
    with fresh_index(sweep) as sweep_index:
        lost_files(sweep, sweep_index, report)
    kept = report.checked
    if report.lost:
        return False, "\n".join([f"of {kept} complete cases {report}:", *report.named])
    return True, f"{kept} complete cases have theirs" if kept else "no complete case has any kept"
