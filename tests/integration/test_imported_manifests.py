"""A manifest that was made from another tool's file runs as it was written."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.emulated import Emulated
from tests.support.small_site import Site

# It takes its arguments as Hydra does, and notes them as metrics.
PROGRAM = """\
import json, sys
overrides = dict(argument.split("=", 1) for argument in sys.argv[1:])
directory = overrides.pop("hydra.run.dir").strip("'").removesuffix("/hydra")
metrics = {f"got {name}": value for name, value in overrides.items()}
with open(f"{directory}/metrics.json", "w") as file:
    json.dump(metrics, file)
"""
LINE = "python train.py -m optimizer.lr=0.1,1e-2 model=a,'vit b' seed=7 hydra/launcher=joblib"


def test_a_hydra_line_runs(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    with Emulated(tmp_path / "cluster") as cluster:
        site = Site(tmp_path, cluster)
        said = site.hpcsweep("import", "hydra", LINE, "-o", "m.yaml")
        assert "not carried over: hydra/launcher=joblib\n" in said
        assert "written: m.yaml, 4 cases\nNext: hpcsweep plan m.yaml\n" in said
        assert "is there already" in site.hpcsweep("import", "hydra", LINE, "-o", "m.yaml", code=5)
        site.hpcsweep("submit", "m.yaml", "--wait")
        text = site.hpcsweep("collect", "hydra", "--format", "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["status"] for row in rows] == ["complete"] * 4
    assert {(row["optimizer_lr"], row["model"], row["seed_"]) for row in rows} == {
        (lr, model, 7) for lr in (0.1, 0.01) for model in ("a", "vit b")
    }
    for row in rows:
        assert row["got optimizer.lr"] == str(row["optimizer_lr"])
        assert row["got model"] == f"'{row['model']}'"
        assert row["got seed"] == "7"
