"""A metric with a lone surrogate, which a program may write as JSON and UTF-8 cannot encode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

METRICS = r'{"t": "a\ud800b", "n": 2, "d": {"k\udfff": "x"}, "e\udc00": [1, "\udc00"]}'
PROGRAM = f"import sys\nopen(sys.argv[1] + '/metrics.json', 'w').write({METRICS!r})\n"
ESCAPED = "a\\ud800b"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    root = tmp_path_factory.mktemp("sweep")
    (root / "program.py").write_text(PROGRAM)
    argv = ["python3", "program.py", "{run_dir}", "{x}"]
    made = MadeSweep(root, grid(x=[1, 2]), argv=argv)
    made.plan(chunk_size=2)
    made.handed_in()
    made.run()
    return made


def collected(made: MadeSweep, *options: str) -> str:
    done = CliRunner().invoke(main, ["collect", str(made.path), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_reader_has_the_case_and_its_other_values(made: MadeSweep, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "a.parquet"
    collected(made, "-o", str(file))
    table = pq.read_table(file)
    assert table["t"].to_pylist() == [ESCAPED] * 2
    assert table["n"].to_pylist() == [2, 2]
    sweep = hs.Sweep(str(made.path))
    assert sweep.to_dataframe()["t"].tolist() == [ESCAPED] * 2
    assert sweep.to_arrow()["t"].to_pylist() == [ESCAPED] * 2
    lines = collected(made, "--format", "jsonl").splitlines()
    assert [json.loads(line)["n"] for line in lines] == [2, 2]
    csv = tmp_path / "a.csv"
    collected(made, "-o", str(csv))
    assert csv.read_bytes() == collected(made, "--format", "csv").encode()
    assert ESCAPED in csv.read_text()
