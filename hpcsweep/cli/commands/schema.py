"""`schema`: print the JSON Schema of manifests, or of a command's JSON document."""

from __future__ import annotations

import click

from hpcsweep.cli import documents
from hpcsweep.cli.examples import examples


@click.command(
    "schema", epilog=examples("hpcsweep schema > manifest.schema.json", "hpcsweep schema status")
)
@click.argument(
    "name",
    metavar="[NAME]",
    type=click.Choice(["manifest", *documents.DOCUMENTS]),
    default="manifest",
)
def command(name: str) -> None:
    """Print the JSON Schema of a manifest, or of a command's JSON document.

    That of a manifest completes keys and marks mistakes while you write: `hpcsweep schema >
    schema.json`. NAME is a command, such as status, logs or db-status; the default is manifest.
    """
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.manifest import model

    print_document(model.json_schema() if name == "manifest" else documents.json_schema(name))
