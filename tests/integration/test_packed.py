"""Packed runs by the command line: every command works as with directories."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from hpcsweep import ExperimentReader
from tests.support import clusters
from tests.support.clusters import Cluster
from tests.support.project import Project

emulated = clusters.emulated
TARGET = """\
def run(x, log, rng):
    print("printed", x)
    log.info(f"logged {x}")
    log.json("table", {"x": x})
    return {"square": x * x + rng.random()}
"""


def test_every_command_reads_packs(emulated: Cluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path, 6, target=TARGET, runs="packed", chunk=4, replicates=2)
    project.submit("--wait")
    assert sorted(path.name for path in (project.sweep / "runs").iterdir()) == [
        ".attempts",
        "packs",
    ]
    assert len(list(project.sweep.glob("runs/packs/*.tar"))) == 3

    files = project.cli("files", project.name, "artifacts/table.json").stdout
    tables = [json.loads(one + "}") for one in files.split("}\n") if one]
    assert [table["x"] for table in tables] == [x for x in range(6) for _ in range(2)]
    said = project.cli("logs", project.name, "4").stdout
    assert "logged 2" in said
    assert "printed 2" in said
    paths = project.cli("files", project.name, "log.txt", "--paths").stdout.split()
    assert len(paths) == 12
    assert all(".tar#log_x=" in path for path in paths)

    reader = ExperimentReader(project.sweep)
    assert sorted(run.params["x"] for run in reader) == [x for x in range(6) for _ in range(2)]

    (pack, *_) = sorted(project.sweep.glob("runs/packs/0.*.tar"))
    command = ["tar", "xf", str(pack), "-C", str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stderr == ""
    (one, *_) = sorted(tmp_path.glob("log_*"))
    assert (one / "metadata.json").exists()

    (restored,) = project.cli("unpack", project.name, "--case", "4").stdout.split()
    assert f"#{Path(restored).name}/" in paths[4]
    assert "logged 2" in (Path(restored) / "log.txt").read_text()
    assert len(project.cli("unpack", project.name).stdout.split()) == 11
    assert project.cli("unpack", project.name, "--case", "none", code=3).stdout == ""


def test_a_figure(emulated: Cluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path, 4, target=TARGET, replicates=3, chunk=12)
    project.submit("--wait")
    project.cli("plot", project.name, "--x", "x", "--y", "square")
    figure = (project.sweep / "square-over-x.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    (manifest,) = (path.name for path in (project.sweep / "manifests").iterdir())
    about = f"manifest {manifest}; hpcsweep plot {project.name} --x x --y square"
    assert about.encode() in figure
    project.cli(
        "plot",
        project.name,
        "--x",
        "x",
        "--y",
        "square",
        "--by",
        "replicate",
        "--log",
        "y",
        "--where",
        "x > 0",
        "--output",
        "figure.svg",
    )
    text = (tmp_path / "figure.svg").read_text()
    assert text.lstrip().startswith("<?xml")
    project.cli("plot", project.name, "--kind", "hist", "--x", "square")
    assert (project.sweep / "square-hist.png").read_bytes().startswith(b"\x89PNG")
    for wrong, code in (
        (["--x", "x"], 2),
        (["--x", "x", "--y", "square", "--kind", "heat"], 2),
        (["--x", "x", "--y", "square", "--kind", "hist"], 3),
        (["--x", "x", "--y", "square", "--kind", "parallel"], 3),
        (["--x", "x", "--y", "none"], 3),
        (["--x", "x", "--y", "square", "--log", "z"], 2),
        (["--x", "x", "--y", "square", "--log", "x"], 3),
        (["--x", "x", "--y", "status"], 3),
        (["--x", "x", "--y", "square", "--output", "figure.gif"], 3),
    ):
        project.cli("plot", project.name, *wrong, code=code)
