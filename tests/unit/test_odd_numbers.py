"""Metrics that are NaN or infinite: kept from the case to the table, in every format."""

from __future__ import annotations

import json
from math import inf, isfinite, isinf, isnan
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from hpcsweep import ExperimentReader
from hpcsweep.cli import main
from hpcsweep.errors import RunMissing
from hpcsweep.journal import all_journals, encode
from hpcsweep.sources import manual
from hpcsweep.sweep import Sweep
from tests.support.sweeps import MadeSweep

# Case 4 has no such metric, case 5 has null.
PYTHON = """\
from math import inf, nan
def run(x):
    return [{"y": 1.5}, {"y": nan, "of": {"z": [inf]}}, {"y": inf}, {"y": -inf}, {}, {"y": None}][x]
"""
SCRIPT = """\
case $0 in
    0) echo '{{"y": 1.5}}';;
    1) echo '{{"y": NaN, "of": {{"z": [Infinity]}}}}';;
    2) echo '{{"y": inf}}';;
    3) echo '{{"y": -Infinity}}';;
    4) echo '{{}}';;
    5) echo '{{"y": null}}';;
esac > "$1"/metrics.json
"""
COLUMNS = ("--columns", "y,of.z")
KINDS = ["function", "command", "packed", "none", "restarted", "restarted packed"]


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """A sweep that ended; a restart found the runs whose ends were not recorded."""
    words = request.param.split()
    how: dict[str, Any] = {"python": PYTHON}
    if "command" in words:
        how = {"argv": ["/bin/sh", "-c", SCRIPT, "{x}", "{run_dir}"]}
    root = tmp_path_factory.mktemp("odd")
    made = MadeSweep(root, manual([{"x": x} for x in range(6)]), **how)
    made.plan(runs=words[-1] if words[-1] in ("packed", "none") else "all")
    made.handed_in()
    made.run()
    if "restarted" in words:
        _forget_ends(made)
        made.run(restart=1)
        assert len(made.ends()) == len(made.source)
    return made


def _forget_ends(made: MadeSweep) -> None:
    """Leave the journals of a task that was killed before it recorded an end."""
    begun = made.records("task", "begin")
    root = made.directory.journal_root
    (name,) = all_journals(root)
    for record in begun:
        record.pop("crc")
    (root / name).write_bytes(b"".join(map(encode, begun)))


def collected(made: MadeSweep, output: Path, *options: str) -> Path:
    arguments = ["collect", str(made.path), "--output", str(output), *options]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return output


def test_csv_has_nan_and_inf(made: MadeSweep, tmp_path: Path) -> None:
    text = collected(made, tmp_path / "t.csv", *COLUMNS).read_text()
    assert text == 'y,of.z\n1.5,\nnan,"[""Infinity""]"\ninf,\n-inf,\n,\n,\n'
    y = pd.read_csv(tmp_path / "t.csv")["y"]
    assert isnan(y[1])
    assert y[2:4].tolist() == [inf, -inf]


def test_json_lines_have_texts_and_stay_json(made: MadeSweep, tmp_path: Path) -> None:
    lines = collected(made, tmp_path / "t.jsonl", *COLUMNS).read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == [
        {"y": 1.5},
        {"y": "NaN", "of.z": ["Infinity"]},
        {"y": "Infinity"},
        {"y": "-Infinity"},
        {},
        {"y": None},
    ]


def test_parquet_tells_nan_from_nothing(made: MadeSweep, tmp_path: Path) -> None:
    path = collected(made, tmp_path / "t.parquet", *COLUMNS)
    first, second, *rest = pq.read_table(path).column("y").to_pylist()
    assert first == 1.5
    assert isnan(second)
    assert rest == [inf, -inf, None, None]


def test_a_frame_and_rows_have_floats(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    sweep = Sweep(str(made.path))
    first, second, *rest = sweep.query(columns=["y"])
    assert first == {"y": 1.5}
    assert isnan(second["y"])
    assert rest == [{"y": inf}, {"y": -inf}, {}, {"y": None}]
    assert sweep.to_dataframe(columns=["y"])["y"].tolist()[2:4] == [inf, -inf]


def test_conditions_and_orders(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    sweep = Sweep(str(made.path))

    def found(where: str | None = None, **order: Any) -> list[int]:
        return [row["index"] for row in sweep.query(where, columns=["index"], **order)]

    assert found("y > 1") == [0, 2]
    assert found("y < 1") == [3]
    assert found("y == None") == [4, 5]
    assert found(sort=["y"]) == [3, 0, 2, 1, 4, 5]
    assert found(sort=["y"], desc=True, limit=3) == [2, 0, 3]


def test_readers_of_runs_have_floats(made: MadeSweep) -> None:
    if "run_dir" not in made.ends()[1]:  # the sweep keeps no runs
        with pytest.raises(RunMissing):
            ExperimentReader(made.path)
        return
    found = [run["y"] for run in ExperimentReader(made.path).metrics.values() if run.get("y")]
    assert [sum(map(test, found)) for test in (isfinite, isinf, isnan)] == [1, 2, 1]
