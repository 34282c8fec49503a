"""Every example: submitted, waited for, collected; its files and numbers are what it promises."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.manifest.user import load_manifest
from tests.support import clusters, preloaded
from tests.support.clusters import HPCSWEEP, INGEST_LATER, Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
CLI_S = 120

emulated = clusters.emulated


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of all examples, where they may leave files."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def run(cluster: Cluster, directory: Path, *argv: str) -> str:
    done = preloaded.run(argv, directory, cluster.env(**INGEST_LATER), CLI_S)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def hpcsweep(cluster: Cluster, directory: Path, *arguments: str) -> str:
    return run(cluster, directory, HPCSWEEP, *arguments)


def results(cluster: Cluster, directory: Path, manifest: str, name: str) -> list[dict[str, Any]]:
    """Submit and collect, as a user who wants the table."""
    hpcsweep(cluster, directory, "submit", manifest, "--wait")
    lines = hpcsweep(cluster, directory, "collect", name, "--format", "jsonl").splitlines()
    return [json.loads(line) for line in lines]


def test_every_example_is_tested_here() -> None:
    # tests/integration/test_starters.py and test_notebook.py
    elsewhere = {"__pycache__", "outputs", "starters", "notebook"}
    found = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.rglob("*")
        if path.is_file() and elsewhere.isdisjoint(path.parts)
    }
    assert found == {
        "analysis.py",
        "checkpoints/logistic.py",
        "checkpoints/manifest.yaml",
        "command/manifest.yaml",
        "command/walk.awk",
        "oscillator/manifest.json",
        "oscillator/manifest.yaml",
        "oscillator/oscillator.py",
        "oscillator/sweep.py",
        "stages/coarse.yaml",
        "stages/fine.yaml",
        "stages/well.py",
    }


def test_the_oscillator_keeps_its_energy(emulated: Cluster, examples: Path) -> None:
    directory = examples / "oscillator"
    rows = results(emulated, directory, "manifest.yaml", "oscillator")
    assert [(row["dt"], row["omega"]) for row in rows] == [
        (dt, omega) for dt in (0.01, 0.001) for omega in (1.0, 2.0, 3.0)
    ]
    for row in rows:
        assert row["energy"] == pytest.approx(0.5 * row["omega"] ** 2, rel=1e-3)
        run = directory / "outputs" / "oscillator" / row["run_dir"]
        assert (run / "data" / "x.npy").stat().st_size > 8 * 1000
        assert json.loads((run / "artifacts" / "final_state.json").read_text()).keys() == {"x", "v"}
        assert "integrated 1000 steps" in (run / "log.txt").read_text()


def test_the_two_forms_of_the_oscillator_are_one_sweep(emulated: Cluster, examples: Path) -> None:
    directory = examples / "oscillator"
    as_json, cases = load_manifest(directory / "manifest.json")
    as_yaml, same = load_manifest(directory / "manifest.yaml")
    assert as_json == as_yaml
    assert [case.case_id for case in cases] == [case.case_id for case in same]
    results(emulated, directory, "manifest.yaml", "oscillator")
    said = hpcsweep(emulated, directory, "submit", "manifest.json")
    assert "nothing to submit, 6 complete" in said


def test_the_walks_drift_as_they_are_biased(emulated: Cluster, examples: Path) -> None:
    directory = examples / "command"
    rows = results(emulated, directory, "manifest.yaml", "walk")
    assert len(rows) == 18
    assert len({row["seed"] for row in rows}) == 18
    for row in rows:
        run = directory / "outputs" / "walk" / row["run_dir"]
        walk = list(csv.DictReader((run / "walk.csv").read_text().splitlines()))
        assert len(walk) == row["steps"]
        assert int(walk[-1]["position"]) == row["position"]
        assert row["drift"] == pytest.approx(row["position"] / row["steps"], abs=1e-6)
        assert (run / "stdout.txt").read_text() == (
            f"walked {row['steps']} steps to {row['position']}\n"
        )
    for bias in (0.0, 0.05, 0.1):
        drifts = [row["drift"] for row in rows if (row["bias"], row["steps"]) == (bias, 1000)]
        # Three walks of 1000 steps: a standard error of 0.018.
        assert statistics.mean(drifts) == pytest.approx(2 * bias, abs=0.08)


def test_two_stages_find_the_deeper_valley(emulated: Cluster, examples: Path) -> None:
    directory = examples / "stages"
    hpcsweep(emulated, directory, "submit", "coarse.yaml")
    hpcsweep(emulated, directory, "submit", "fine.yaml", "--after", "coarse")
    hpcsweep(emulated, directory, "submit", "coarse.yaml", "--wait")
    starts = results(emulated, directory, "fine.yaml", "fine")
    assert 0 < len(starts) < 27
    (lowest,) = results(emulated, directory, "fine.yaml", "fine/reduce")
    assert lowest["energy"] == pytest.approx(-0.305, abs=1e-3)
    (case,) = (row for row in starts if row["case_id"] == lowest["case"])
    assert case["x_min"] == pytest.approx(-1.035, abs=1e-2)


def test_a_sweep_from_python_ends_in_a_figure(emulated: Cluster, examples: Path) -> None:
    directory = examples.parent
    table = run(emulated, directory, sys.executable, "examples/oscillator/sweep.py").splitlines()
    assert table[0].split() == ["omega", "dt", "energy"]
    assert len(table) == 1 + 6
    argv = (sys.executable, "examples/analysis.py", "oscillator-python")
    said = run(emulated, directory, *argv).splitlines()
    assert said[0].split() == ["omega", "dt", "energy", "error"]
    figure = directory / "outputs" / "oscillator-python" / "energy.png"
    assert said[-1] == f"figure: {figure}"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_run_with_checkpoints(emulated: Cluster, examples: Path) -> None:
    rows = results(emulated, examples / "checkpoints", "manifest.yaml", "logistic")
    assert rows[0]["mean"] == pytest.approx(1 - 1 / 2.5, abs=1e-4)  # the map's fixed point
    assert {row["status"] for row in rows} == {"complete"}
