"""The page *Resources*: what tasks asked for and what their cases used, with the advice."""

from __future__ import annotations

from typing import Any

from hpcsweep.report.source import ReportSource
from hpcsweep.state.advice import CASES_MIN, advice_for
from hpcsweep.state.efficiency import histogram
from hpcsweep.state.executions import Floats
from hpcsweep.state.remarks import core_hours_text
from hpcsweep.state.resource_use import ResourceUse

# Intervals of a histogram.
BINS = 30
HOUR_S = 3600.0


def data(source: ReportSource) -> dict[str, Any]:
    """The uses of `efficiency`, with the distributions behind them."""
    uses = [_use(use) for use in source.efficiency.uses]
    return {"uses": uses, "cases_min": CASES_MIN}


def _use(use: ResourceUse) -> dict[str, Any]:
    """What tasks that asked for the same used."""
    return use.to_json() | {
        "advice": [advice.to_json() | {"text": advice.text} for advice in advice_for(use)],
        "cpu_text": core_hours_text(use.cpu_used_s / HOUR_S, use.cpu_asked_s / HOUR_S),
        "whole_nodes": use.has_whole_nodes,
        "memory": _distribution(use.peaks),
        "time": _distribution(use.task_seconds),
        "cpus": _distribution(use.cpus),
        "cpus_asked": use.resources.cpus,
    }


def _distribution(values: Floats) -> list[dict[str, float]]:
    """A count for each interval of these sorted values; none of no values."""
    if not len(values):
        return []
    intervals = histogram(values, BINS)
    return [{"low": low, "high": high, "count": count} for low, high, count in intervals]
