"""`ok_if`: what params and metrics of a case must satisfy."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.conditions.outcome_check import outcome_check
from hpcsweep.errors import InputError, ManifestError
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources import manual
from hpcsweep.sweep import Sweep
from tests.support.sweeps import MadeSweep

PROBLEMS: list[tuple[str, dict[str, Any], str | None]] = [
    ("isfinite(loss) and drift < 1e-3", {"loss": 1.5, "drift": 1e-4}, None),
    (
        "isfinite(loss) and drift < 1e-3",
        {"loss": nan, "drift": 0},
        "'isfinite(loss)' does not hold: loss = nan",
    ),
    (
        "isfinite(loss) and drift < 1e-3",
        {"loss": 1, "drift": 0.5},
        "'drift < 1e-3' does not hold: drift = 0.5",
    ),
    ("isfinite(loss)", {"loss": None}, "loss = None"),
    ("isfinite(loss)", {"loss": "1"}, "does not hold"),
    ("isfinite(loss)", {"loss": 10**400}, None),
    ("isnan(loss) or abs(loss - x) < 2", {"loss": nan}, None),
    ("isnan(loss) or abs(loss - x) < 2", {"loss": 5.5}, "loss = 5.5, x = 3"),
    ("loss < 1", {"loss": inf}, "loss = inf"),
    ("drift < 1", {"loss": 1}, "the case has no param or metric 'drift'"),
    ("loss < 1", {"loss": "a"}, "compares"),
    ("1 / loss < 1", {"loss": 0}, "cannot be computed"),
    ("abs(loss) < 1", {"loss": [1]}, "not a number"),
    ("x == 3 and metric.x == 4", {"x": 4}, None),
    ("of.a < x", {"of": {"a": 2}}, None),
    ("not loss > 1", {"loss": 2}, "does not hold: loss = 2"),
]


@pytest.mark.parametrize(("text", "metrics", "problem"), PROBLEMS)
def test_problems_of_cases(text: str, metrics: dict[str, Any], problem: str | None) -> None:
    found = outcome_check(text)({"x": 3}, metrics)
    assert (found is None) == (problem is None)
    assert found is None or str(problem) in found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("isfinit(loss)", "isfinit() is not a function here"),
        ("sqrt(loss) < 1", "sqrt() is not a function here"),
        ("isfinite(loss, 1)", "takes one argument"),
        ("isfinite(loss + 1)", "isfinite takes a name"),
        ("abs(loss)", "abs() is no condition"),
        ("isnan(loss) < 1", "isnan() is no number"),
        ("abs(3) < 4", "is not a comparison"),
        ("loss <", "does not parse"),
        ("done == true", "'true' is not a param or metric"),
        ("loss < inf", "'inf' is not a param or metric"),
        ("loss", "is not a comparison"),
        ("__import__('os').system('true')", "is not a function here"),
    ],
)
def test_what_is_no_condition_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        outcome_check(text)
    assert why in str(caught.value)
    manifest = tmp_path / "m.yaml"
    (tmp_path / "t.py").write_text("def run(x): return {}\n")
    manifest.write_text(
        f'name: s\ntarget: t.py:run\nsource: {{grid: {{x: [1]}}}}\nok_if: "{text}"\n'
    )
    with pytest.raises(ManifestError, match=r"m\.yaml:4") as refused:
        load_manifest(manifest)
    assert why in str(refused.value)


PYTHON = """\
from math import nan
def run(x):
    if x == 2:
        raise ValueError("no good")
    return [{"y": 1}, {"y": nan, "z": 5}, {}, {"z": 1}][x]
"""
SCRIPT = (
    'case $0 in 0) echo \'{{"y": 1}}\';; 1) echo \'{{"y": nan, "z": 5}}\';; 2) exit 3;;'
    ' 3) echo \'{{"z": 1}}\';; esac > "$1"/metrics.json'
)


@pytest.mark.parametrize("kind", ["function", "command", "packed", "task"])
def test_cases_that_fail_their_check_keep_their_metrics(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["/bin/sh", "-c", SCRIPT, "{x}", "{run_dir}"] if kind == "command" else []
    source = manual([{"x": x} for x in range(4)])
    isolation = {"isolation": "task"} if kind == "task" else {}
    made = MadeSweep(
        tmp_path, source, python=PYTHON, argv=argv, ok_if="isfinite(y) and x < 9", **isolation
    )
    made.plan(runs="packed" if kind == "packed" else "all")
    made.handed_in()
    made.run()
    ends = made.ends()
    reasons = [ends[index].get("reason") for index in range(4)]
    assert reasons == [None, "check", "exit_code" if argv else "error", "check"]
    assert ends[1]["status"] == "failed"
    assert ends[1]["metrics"] == {"y": {"$float": "nan"}, "z": 5}
    assert ends[3]["error"] == {
        "type": "check",
        "message": "'isfinite(y) and x < 9' cannot be checked: the case has no param or metric 'y'",
    }
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    (row,) = Sweep(str(made.path)).query("reason == 'check' and isnan(y)")
    assert row["z"] == 5
    assert row["error"] == "'isfinite(y)' does not hold: y = nan"
