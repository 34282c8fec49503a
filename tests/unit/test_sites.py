"""The page of templates for sites shows each file of slurm_templates/sites as it is."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_page_shows_every_template() -> None:
    page = (REPOSITORY / "docs/how-to/sites.md").read_text()
    templates = (REPOSITORY / "slurm_templates" / "sites").glob("*.yaml")

    shown = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert sorted(shown) == sorted(path.read_text() for path in templates)
