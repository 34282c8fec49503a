"""The page *Sensitivity*: which parameters a metric depends on, and which make cases fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.records import Status
from hpcsweep.report.case_table import CaseColumn, CaseTable
from hpcsweep.report.digits import digits_of, rounded
from hpcsweep.report.failure_rates import failure_rates
from hpcsweep.report.levels import Codes, Levels, levels_of, param_of
from hpcsweep.report.main_effects import main_effect
from hpcsweep.report.source import ReportSource
from hpcsweep.report.variance_shares import Grid, grid_of, inseparable, variance_share
from hpcsweep.state.executions import STATUSES, Floats

# The metrics of a page, the first ones; and the parameters whose effects are drawn, those with the
# largest shares.
METRICS_MAX, DRAWN_MAX = 12, 12
# Digits beyond those that all levels share; a figure shows five.
DIGITS = 7
# Of more complete cases, so many are drawn at random, always the same.
SAMPLE_MAX = 200_000
_SEED = 1935
# Columns of role "param" that are none.
_NO_PARAMS = ("replicate",)


def data(source: ReportSource) -> dict[str, Any]:
    """What the metrics of the complete cases depend on, and which cases fail."""
    made = sensitivity(source.cases)
    effects = [effect for metric in made["metrics"] for effect in metric["effects"]]
    for effect in (*effects, *made["failures"]["params"]):
        round_levels(effect["levels"])
    return made


def round_levels(levels: Sequence[dict[str, Any]]) -> None:
    """Leave out digits of the numbers at the levels of a parameter: half of the page's size."""
    for name in levels[0] if levels else ():
        column = [one[name] for one in levels]
        if any(isinstance(value, float) for value in column):
            digits = digits_of(np.array(column, np.float64), DIGITS)
            for one in levels:
                one[name] = None if one[name] is None else rounded(one[name], digits)


def sensitivity(table: CaseTable) -> dict[str, Any]:
    """See `data`. Pure."""
    complete = np.flatnonzero(table.complete)
    used = _sampled(complete)
    columns = [column for column in table.of_role("param") if column.name not in _NO_PARAMS]
    params = [param for column in columns if (param := param_of(column, used))]
    grid = grid_of(params) if len(used) == len(complete) else None
    levels = [levels_of(param, is_gridded=grid is not None) for param in params]
    # On a grid every value counts; elsewhere a level must have cases enough.
    codes = [
        param.codes if grid else of_param.codes
        for param, of_param in zip(params, levels, strict=True)
    ]
    metrics = [column for column in table.of_role("metric") if column.is_number]
    return {
        "complete": len(complete),
        "used": len(used),
        "params": [param.name for param in params],
        "is_grid": grid is not None,
        "combinations": [grid.present, grid.possible] if grid else None,
        "together": [[params[a].name, params[b].name] for a, b in inseparable(codes)],
        "metrics": [
            _metric(column.name, column.values[used], levels, codes, grid)
            for column in metrics[:METRICS_MAX]
        ],
        "more_metrics": [column.name for column in metrics[METRICS_MAX:]],
        "left_out": list(table.left_out),
        "failures": _failures(table, columns),
    }


def _sampled(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """These rows, or `SAMPLE_MAX` of them."""
    if len(rows) <= SAMPLE_MAX:
        return rows
    chosen = np.random.default_rng(_SEED).choice(rows, SAMPLE_MAX, replace=False, shuffle=False)
    return np.sort(chosen)


def _metric(
    name: str, values: Floats, levels: Sequence[Levels], codes: Sequence[Codes], grid: Grid | None
) -> dict[str, Any]:
    """What one metric depends on."""
    known = np.isfinite(values)
    metric = values[known]
    if grid is not None:
        grid = replace(grid, cells=grid.cells[known])
    # Squares of large numbers are no floats; a share does not depend on the unit.
    unit = np.abs(metric).max(initial=0.0) or 1.0
    shares = [variance_share(of_param[known], metric / unit, grid) for of_param in codes]
    order = sorted(range(len(levels)), key=lambda at: -(shares[at] or 0.0))
    return {
        "name": name,
        "cases": len(metric),
        "left_out": len(values) - len(metric),
        "mean": float((metric / unit).mean() * unit) if len(metric) else None,
        "shares": [{"param": levels[at].param, "share": shares[at]} for at in order],
        "effects": [_effect(levels[at], metric, known) for at in order[:DRAWN_MAX]],
    }


def _effect(levels: Levels, metric: Floats, known: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The means of a metric at the levels of a parameter."""
    means = main_effect(replace(levels, codes=levels.codes[known]), metric)
    return _described(levels) | {
        "levels": [
            _at(levels, one.level)
            | {"cases": one.cases, "mean": one.mean, "low": one.low, "high": one.high}
            for one in means
        ]
    }


def _failures(table: CaseTable, columns: Sequence[CaseColumn]) -> dict[str, Any]:
    """How often cases fail, at the levels of the parameters that matter most."""
    is_failed = table.status == STATUSES.index(Status.FAILED)
    ended = is_failed | table.complete
    failed, of = int(is_failed.sum()), int(ended.sum())
    rows = []
    for column in columns if failed else ():
        param = param_of(column, ended)
        if param is None:
            continue
        levels = levels_of(param, is_gridded=False)
        rates = failure_rates(levels, is_failed[ended])
        # What is certain of the level that differs most from all cases.
        differs = max(max(one.low - failed / of, failed / of - one.high) for one in rates)
        of_levels = [_at(levels, one.level) | asdict(one) for one in rates]
        rows.append((-differs, _described(levels) | {"differs": differs > 0, "levels": of_levels}))
    rows.sort(key=lambda row: row[0])
    return {"failed": failed, "ended": of, "params": [row for _, row in rows[:DRAWN_MAX]]}


def _at(levels: Levels, level: int) -> dict[str, Any]:
    """Where a level is on an axis."""
    return {"label": levels.labels[level], "place": levels.places[level]}


def _described(levels: Levels) -> dict[str, Any]:
    """What the page says of the levels of a parameter."""
    is_number = all(place is not None for place in levels.places)
    return {"param": levels.param, "is_number": is_number, "are_ranges": levels.are_ranges}
