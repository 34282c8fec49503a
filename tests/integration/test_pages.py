"""Pages that a reader follows: their files and commands, in a fresh directory, in their order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.clusters import INGEST_LATER, EmulatedCluster, own_emulated
from tests.support.console_blocks import Page

__all__ = ["own_emulated"]

DOCS = Path(__file__).parents[2] / "docs"
# Tests of their own run these.
ELSEWHERE = {"how-to/tables.md", "reference/cli.md"}
PAGES = {
    str(path.relative_to(DOCS)): Page(path.read_text())
    for path in sorted(DOCS.rglob("*.md"))
    if str(path.relative_to(DOCS)) not in ELSEWHERE
}
FOLLOWED = {name: page for name, page in PAGES.items() if page.has_commands}
# Their commands have tests of their own.
LONG = {"how-to/clean-up.md", "how-to/read-results.md", "how-to/sample-sheet.md"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.soak) if name in LONG else name for name in FOLLOWED],
)
def test_a_page_shows_the_real_output(
    name: str, own_emulated: EmulatedCluster, tmp_path: Path
) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{own_emulated.env()['PATH']}"
    env = own_emulated.env(**INGEST_LATER) | {"PATH": programs, "COLUMNS": "80"}
    # A command that finds no bytecode takes half a second longer, and a page has many commands.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    FOLLOWED[name].follow(tmp_path, env)
