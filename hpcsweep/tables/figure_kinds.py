"""The kinds of figures, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, quantiles, stdev
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.tables.figure_style import (
    Canvas,
    add_colour_bar,
    add_legend,
    mappable,
    set_places,
    style_axes,
)
from hpcsweep.tables.parallel_axes import draw_parallel
from hpcsweep.tables.points import Line

# Lines with more points have no markers.
POINTS_MAX = 30
# More cases are small dots, and more still are pixels in a PDF or SVG, which stays small.
DOTS_MIN = 1000
RASTER_MIN = 10_000
DOT_SIZE = 2.5
# Limits of what can be seen.
CELLS_MAX = 1_000_000
BOXES_MAX = 400
BINS_MAX = 100


def draw_lines(canvas: Canvas) -> None:
    """Draw a line through the means for each value of `by`."""
    ticks = canvas.data.tick_positions()
    for line, style in canvas.styled_lines():
        _line(canvas.plane, line, ticks, line.band(canvas.axes.band), style)
    if ticks:
        set_places(canvas.plane.xaxis, ticks)
    add_legend(canvas)
    style_axes(canvas, canvas.axes.x, canvas.axes.numbers)


def _line(plane: Any, line: Line, ticks: dict[Any, int], band: str, style: dict[str, Any]) -> None:
    """Draw a line through the means; only points if a connecting line would mislead."""
    xs = [ticks.get(x, x) for x in line.points]
    values = [point.values for point in line.points.values()]
    # Do not connect texts, nor cases that differ in more than x.
    joined = len(xs) > 1 and not line.scattered and not ticks
    few = len(xs) <= POINTS_MAX or not joined
    many = len(xs) > DOTS_MIN
    means = [fmean(some) for some in values]
    colour = style["color"]
    plane.plot(
        xs,
        means,
        linestyle="-" if joined else "",
        linewidth=1.8,
        markersize=(DOT_SIZE if many else 6) if few else 0,
        markeredgecolor="white",
        markeredgewidth=0.0 if many else 0.6,
        rasterized=len(xs) > RASTER_MIN,
        **style,
    )
    if line.has_params_pooled:
        cases = [(x, y) for x, some in zip(xs, values, strict=True) for y in some]
        plane.plot(
            *zip(*cases, strict=True),
            color=colour,
            marker=".",
            markersize=6,
            linestyle="",
            alpha=0.4,
            zorder=1,
            rasterized=len(cases) > RASTER_MIN,
        )
    if band != "none":
        low, high = zip(*(_spread(some, band) for some in values), strict=True)
        if joined:
            plane.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
        else:
            plane.vlines(xs, low, high, color=colour, alpha=0.4, linewidth=3)


def _spread(values: list[float], band: str) -> tuple[float, float]:
    """Where the band begins and ends at a point."""
    if len(values) == 1:
        return values[0], values[0]
    if band == "iqr":
        first, _, third = quantiles(values, n=4, method="inclusive")
        return first, third
    mean = fmean(values)
    half = stdev(values) / (math.sqrt(len(values)) if band == "sem" else 1.0)
    # Clip to the observed range: mean minus deviation may be negative for a positive quantity.
    return max(mean - half, min(values)), min(mean + half, max(values))


def draw_scatter(canvas: Canvas) -> None:
    """Draw a point for each case."""
    ticks = canvas.data.tick_positions()
    many = canvas.data.drawn > DOTS_MIN
    for line, style in canvas.styled_lines():
        xs, ys = [], []
        for x, point in line.points.items():
            xs += [ticks.get(x, x)] * len(point.values)
            ys += point.values
        canvas.plane.plot(
            xs,
            ys,
            linestyle="",
            markersize=DOT_SIZE if many else 6,
            # Hollow: a filled one would hide those of other lines at its place.
            markerfacecolor=style["color"] if many else "none",
            markeredgewidth=0.0 if many else 1.2,
            alpha=0.5 if many else 0.9,
            rasterized=canvas.data.drawn > RASTER_MIN,
            **style,
        )
    if ticks:
        set_places(canvas.plane.xaxis, ticks)
    add_legend(canvas)
    style_axes(canvas, canvas.axes.x, canvas.axes.numbers)


def draw_heat(canvas: Canvas) -> None:
    """Draw a cell for each x and `by`, in the colour of its mean. *Raises* InputError."""
    columns, lines = canvas.data.places(), canvas.data.lines
    _check_count(len(columns) * len(lines), CELLS_MAX, "cells")
    cells = [[math.nan] * len(columns) for _ in lines]
    for row, line in zip(cells, lines.values(), strict=True):
        for x, point in line.points.items():
            row[columns[x]] = fmean(point.values)
    scale = mappable(canvas.data.means(), "y" in canvas.logarithmic)
    canvas.plane.pcolormesh(cells, cmap=scale.cmap, norm=scale.norm, rasterized=True)
    # The middle of a cell is its place.
    canvas.plane.set_facecolor("0.88")
    for axis, places in (
        (canvas.plane.xaxis, columns),
        (canvas.plane.yaxis, {by: place for place, by in enumerate(lines)}),
    ):
        set_places(axis, {value: place + 0.5 for value, place in places.items()})
    add_colour_bar(canvas, scale, canvas.axes.numbers)
    style_axes(canvas, canvas.axes.x, canvas.axes.by or "")


def draw_boxes(canvas: Canvas) -> None:
    """Draw a box of quartiles for each x, and beside it for each `by`. *Raises* InputError."""
    places, count = canvas.data.places(), len(canvas.data.lines)
    _check_count(len(canvas.data.xs()), BOXES_MAX, "boxes")
    width = 0.7 / count
    for position, (line, style) in enumerate(canvas.styled_lines()):
        offset = (position - (count - 1) / 2) * width
        drawn = canvas.plane.boxplot(
            [point.values for point in line.points.values()],
            positions=[places[x] + offset for x in line.points],
            widths=width * 0.85,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": style["color"], "alpha": 0.45},
            medianprops={"color": "black"},
            flierprops={"marker": ".", "markersize": 5, "markeredgecolor": style["color"]},
        )
        # All of them would be in the legend.
        drawn["boxes"][0].set_label(style["label"] or "")
    set_places(canvas.plane.xaxis, places)
    add_legend(canvas)
    style_axes(canvas, canvas.axes.x, canvas.axes.numbers)


def draw_ecdf(canvas: Canvas) -> None:
    """Draw the share of cases whose value is at most x."""
    for line, style in canvas.styled_lines():
        colour, label = style["color"], style["label"]
        canvas.plane.ecdf(_values(line), color=colour, label=label, linewidth=1.8)
    add_legend(canvas)
    style_axes(canvas, canvas.axes.x, "share of cases")


def draw_histogram(canvas: Canvas) -> None:
    """Draw the count of cases, in bins that all lines share."""
    edges = _bin_edges(canvas.data.ys(), is_logarithmic="x" in canvas.logarithmic)
    several = len(canvas.data.lines) > 1
    for line, style in canvas.styled_lines():
        canvas.plane.hist(
            _values(line),
            bins=edges,
            histtype="step" if several else "bar",
            linewidth=1.8 if several else 0.8,
            edgecolor=style["color"] if several else "white",
            color=style["color"],
            label=style["label"],
        )
    add_legend(canvas)
    canvas.plane.locator_params(axis="y", integer=True)
    style_axes(canvas, canvas.axes.x, "cases")


def _bin_edges(values: list[float], *, is_logarithmic: bool) -> list[float]:
    """The edges of at most `BINS_MAX` bins of one width on the axis."""
    import numpy as np  # noqa: PLC0415  # rarely needed

    least, largest = min(values), max(values)
    low, high = (math.log10(end) if is_logarithmic else end for end in (least, largest))
    # Twice Sturges' rule: it depends on the count alone; others make 10^6 bins of one far value.
    count = min(BINS_MAX, 2 * math.ceil(math.log2(len(values)) + 1))
    # No bin is narrower than floats can tell apart.
    narrowest = 4 * math.ulp(max(abs(low), abs(high)))
    if low == high:
        half = max(0.5, narrowest)
        return [10.0**end if is_logarithmic else end for end in (low - half, high + half)]
    count = max(1, min(count, math.floor((high - low) / narrowest)))
    edges = np.histogram_bin_edges([], bins=count, range=(low, high))
    inner = 10.0 ** edges[1:-1] if is_logarithmic else edges[1:-1]
    # The ends as they are: rounded ones would leave out a case.
    return [least, *(float(edge) for edge in inner), largest]


def _values(line: Line) -> list[float]:
    (point,) = line.points.values()
    return point.values


def _check_count(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise InputError(
            f"{count} {what} are too many to be seen, at most {limit}",
            where="--kind",
            next_step="Select fewer cases, or take --kind scatter.",
        )


# Each of `points.NEEDED`.
KINDS: dict[str, Callable[[Canvas], None]] = {
    "line": draw_lines,
    "scatter": draw_scatter,
    "heat": draw_heat,
    "box": draw_boxes,
    "ecdf": draw_ecdf,
    "hist": draw_histogram,
    "parallel": draw_parallel,
}
