"""`import`: write a manifest from a file of another tool."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import file_option
from hpcsweep.quantities import counted

# The names of `foreign.registry.TOOLS`, which a help text does not load.
TOOLS = ("hydra", "wandb", "optuna", "snakemake", "csv")


@click.command(
    "import",
    epilog=examples(
        "hpcsweep import hydra 'python train.py -m lr=0.1,0.01 model=a,b'",
        "hpcsweep import wandb sweep.yaml -o manifest.yaml",
    ),
)
@click.argument("tool", metavar="TOOL", type=click.Choice(TOOLS))
@click.argument("source")
@click.option("-o", "--output", type=file_option, help="Write the manifest to this new file.")
@click.option(
    "--command",
    "program",
    metavar="TEXT",
    help="The program and its first arguments, like 'python train.py'.",
)
@click.option("--study", metavar="NAME", help="Which study of an Optuna storage.")
def command(
    tool: str, source: str, output: Path | None, program: str | None, study: str | None
) -> None:
    """Write a manifest from a file of another tool.

    TOOL is hydra, wandb, optuna, snakemake or csv; what the manifest cannot have is listed.
    SOURCE is a Hydra config with hydra.sweeper.params, or a line, 'python train.py -m lr=0.1,0.01';
    a W&B sweep file; a JSON file of Optuna's distributions, or the URL of a storage; the table of a
    Snakemake Paramspace; or a table: CSV, TSV, XLSX.
    """
    from hpcsweep.cli.output_options import is_standard_output
    from hpcsweep.errors import SweepError
    from hpcsweep.files import write_new
    from hpcsweep.foreign.draft import ImportRequest
    from hpcsweep.foreign.registry import import_file
    from hpcsweep.foreign.writing import METRICS_NOTE, checked, manifest_text, results_comment
    from hpcsweep.redact import redact

    output = None if is_standard_output(output) else output
    path = output or Path("manifest.yaml")
    draft = import_file(
        tool,
        ImportRequest(
            source=source,
            directory=path.parent,
            command=_words(program),
            study=study,
        ),
    )
    text = manifest_text(draft, f"From {redact(source)}, by `hpcsweep import {tool}`.")
    cases = checked(text, path).n_cases
    comment = results_comment(draft, path)
    if output is None:
        click.echo(text + comment, nl=False)
        return
    for remark in (*draft.remarks, METRICS_NOTE):
        click.echo(remark)
    if draft.search is not None:
        click.echo(f"a search instead of {draft.search.instead_of}: see the end of {output}")
    try:
        write_new(output, (text + comment).encode(), mode=0o666)
    except FileExistsError as error:
        raise SweepError(
            "is there already", where=str(output), next_step="Name another file: -o FILE."
        ) from error
    click.echo(f"written: {output}, {counted(cases, 'case')}")
    click.echo(f"Next: hpcsweep plan {output}")


def _words(program: str | None) -> list[str] | None:
    """The words of a command line. *Raises* UsageError."""
    try:
        return None if program is None else shlex.split(program)
    except ValueError as error:
        raise click.UsageError(f"--command: {error}") from error
