"""`init --kind`: what each kind writes is valid, is explained, and runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.cli.commands.init import KINDS, MANIFEST, scaffold, starter
from hpcsweep.manifest.user import load_manifest
from tests.support import clusters
from tests.support import here as here_module
from tests.support.clusters import Cluster
from tests.support.fixtures import require_mpi
from tests.support.here import Here

emulated = clusters.emulated
cluster = clusters.cluster
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


def test_the_parallel_program_runs(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_mpi()
    # What nodes on one host must not use, since its names are the host's: shared memory.
    monkeypatch.setenv("OMPI_MCA_btl", "^vader")
    if os.geteuid() == 0:  # which mpirun refuses without both
        monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
        monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    here = Here.settle(cluster, tmp_path, monkeypatch)
    here.does("init", "project", "--kind", "mpi")
    build = ["mpicc", "-O2", "-o", "solver", "solver.c"]
    subprocess.run(build, cwd="project", check=True)
    ranks, sets = 8, ["--set", "slurm.mem-per-cpu=100M", "--set", "source.grid.n=[1000]"]
    if cluster.kind == "emulated":  # as the starter says
        manifest = Path("project/manifest.yaml")
        manifest.write_text(manifest.read_text().replace("srun, --mpi=pmix", "mpirun"))
        ranks, sets = 4, [*sets, "--set", "slurm.nodes=1"]
    here.does("submit", "project/manifest.yaml", "--cluster", cluster.kind, "--wait", *sets)
    (row,) = here.rows("project")
    assert (row["status"], row["ranks"]) == ("complete", ranks)
    assert row["pi"] == pytest.approx(3.141592736923)


@pytest.mark.parametrize("kind", METRICS)
def test_each_kind_runs(kind: str, here: Here) -> None:
    here.does("init", "project", "--kind", kind)
    here.does("submit", "project/manifest.yaml", "--cluster", "emulated", "--wait")
    rows = here.rows("project")
    assert [row["status"] for row in rows] == ["complete"] * CASES[kind]
    assert all(isinstance(row[METRICS[kind]], float) for row in rows)
