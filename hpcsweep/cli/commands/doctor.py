"""`doctor`: check the requirements of sweeps."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import cluster_option, common, json_option

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command(
    "doctor",
    epilog=examples(
        "hpcsweep doctor",
        "hpcsweep doctor demo --node",
    ),
)
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
    from hpcsweep.submission.diagnosis import Diagnosis, diagnose

    context = load_context(**shared)
    directory = context.sweep(sweep) if sweep else None
    what = Diagnosis(
        sweep=directory,
        outputs=directory.path.parent if directory else context.outputs(),
        kind=cluster or context.settings.cluster,
        profile=context.profile,
        node=node,
        only_here=only_here,
    )
    findings = diagnose(what, context.settings)
    if as_json:
        print_document([finding.to_json() for finding in findings])
    else:
        print_facts(
            [
                (finding.host, finding.what, (finding.state, _COLOURS[finding.state]), finding.text)
                for finding in findings
            ]
        )
    if any(finding.state == "problem" for finding in findings) and not only_here:
        raise click.exceptions.Exit(1)
