"""`init --kind`: what each kind writes is valid, is explained, and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.cli.commands.init import KINDS, MANIFEST, scaffold, starter
from hpcsweep.manifest.user import load_manifest
from tests.support import clusters
from tests.support import here as here_module
from tests.support.here import Here

emulated = clusters.emulated
here = here_module.here

# Cases of each kind, and a metric that each of them has.
CASES = {"function": 6, "command": 6, "table": 3, "training": 12, "mpi": 3}
METRICS = {"function": "energy", "command": "energy", "table": "reads_per_dose", "training": "loss"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_valid_and_explained(kind: str, tmp_path: Path) -> None:
    paths = scaffold(tmp_path / "project", kind)
    assert paths[0].name == MANIFEST
    manifest, source = load_manifest(paths[0])
    assert (manifest.name, source.n_cases) == ("project", CASES[kind])
    text = paths[0].read_text()
    assert text.startswith("# ")
    assert "{name}" not in text
    said = CliRunner().invoke(main, ["validate", str(paths[0])])
    assert said.exit_code == 0, said.output
    assert set(starter(kind)) == {path.name for path in paths}


@pytest.mark.parametrize("kind", METRICS)
def test_each_kind_runs(kind: str, here: Here) -> None:
    here.does("init", "project", "--kind", kind)
    here.does("submit", "project/manifest.yaml", "--cluster", "emulated", "--wait")
    rows = here.rows("project")
    assert [row["status"] for row in rows] == ["complete"] * CASES[kind]
    assert all(isinstance(row[METRICS[kind]], float) for row in rows)
