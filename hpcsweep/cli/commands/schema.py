"""`schema`: print the JSON Schema of manifests."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of a manifest, for an editor.

    It completes keys and marks mistakes while you write: `hpcsweep schema > schema.json`.
    """
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.manifest.model import json_schema

    print_document(json_schema())
