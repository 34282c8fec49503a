"""Means and counts of very many cases in bins agree with those of the cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcsweep.report.case_table import CaseColumn
from hpcsweep.report.cubes import BINS, cubes

COUNT = 3000


def column(name: str, role: str, values: Any, levels: Any = None) -> CaseColumn:
    return CaseColumn(name=name, role=role, values=np.array(values), levels=levels)


def columns() -> list[CaseColumn]:
    random = np.random.default_rng(7)
    energy = random.normal(size=COUNT)
    energy[::50] = np.nan
    return [
        column("omega", "param", random.choice([1.0, 2.0, 5.0], COUNT)),
        column("width", "param", random.uniform(0, 1e308, COUNT)),
        column("method", "param", random.integers(-1, 2, COUNT), ("euler", "rk4")),
        column("energy", "metric", energy),
    ]


def test_means_are_those_of_the_cases_that_have_a_value() -> None:
    made, complete = columns(), np.arange(0, COUNT, 2)
    found = cubes(made, complete)
    (pair,) = (one for one in found["means"] if (one["a"], one["b"]) == ("omega", "method"))
    omega, _, method, energy = (one.values[complete] for one in made)
    assert sum(pair["count"]) == (method >= 0).sum()
    centres = {axis["name"]: axis["centres"] for axis in found["axes"]}
    assert centres["omega"] == [1.0, 2.0, 5.0]
    assert centres["method"] == ["euler", "rk4"]
    cells = zip(pair["at_a"], pair["at_b"], pair["count"], pair["mean"][0], strict=True)
    for at_omega, at_method, count, mean in cells:
        inside = (omega == centres["omega"][at_omega]) & (method == at_method)
        assert count == inside.sum()
        assert mean == float(f"{np.nanmean(energy[inside]):.5g}")


def test_a_column_of_many_values_has_bins_that_hold_every_case() -> None:
    found = cubes(columns(), np.arange(COUNT))
    axes = {axis["name"]: axis for axis in found["axes"]}
    assert axes["width"]["is_binned"]
    assert len(axes["width"]["centres"]) == BINS
    assert all(map(np.isfinite, axes["width"]["centres"]))
    counts = {(one["a"], one["b"]): sum(one["count"]) for one in found["counts"]}
    assert counts["width", "energy"] == COUNT - COUNT // 50


def test_texts_beyond_the_bins_are_others_and_one_param_has_means() -> None:
    texts = tuple(f"t{number}" for number in range(100))
    found = cubes(
        [column("text", "param", np.arange(100), texts), column("y", "metric", np.arange(100.0))],
        np.arange(100),
    )
    assert found["axes"][0]["centres"][-1] == f"{100 - BINS + 1} others"
    (pair,) = found["means"]
    assert (pair["a"], pair["b"], sum(pair["count"])) == ("text", "text", 100)
