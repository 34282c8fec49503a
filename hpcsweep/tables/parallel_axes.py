"""A figure with an axis for each parameter, and a line for each case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.tables.figure_style import (
    Canvas,
    add_colour_bar,
    label_of,
    literal,
    mappable,
    short,
    style_axes,
)
from hpcsweep.tables.points import is_finite, is_logarithmic, sorted_values

# More axes cannot be read.
AXES_MAX = 12
# Texts at an axis, and their length. An axis of more numbers has ticks at round ones.
LABELS_MAX = 8
LABEL_CHARACTERS = 16
TICKS_MAX = 5
# Least distance of two texts, as a share of the axis.
LABELS_APART = 0.04
# More lines are transparent, and more still are pixels in a PDF or SVG, which stays small.
THIN_MIN = 200
RASTER_MIN = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Upright:
    """An axis: where its values stand, from 0 to 1, and what is written there."""

    heights: dict[Any, float]
    labels: dict[float, str]
    note: str = ""


def draw_parallel(canvas: Canvas) -> None:
    """Draw a line for each case through its params, in the colour of y. *Raises* InputError."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415  # rarely needed

    plane, y = canvas.plane, canvas.axes.numbers
    # The largest is drawn last: on top, where lines cover each other.
    pairs = sorted(zip(canvas.data.ys(), canvas.data.cases, strict=True), key=itemgetter(0))
    numbers = [number for number, _ in pairs]
    cases = [case | {y: number} for number, case in pairs]
    uprights = _uprights(cases, y, logarithmic=False if canvas.axes.log == ("none",) else None)
    uprights[y] = _upright(set(numbers), "y" in canvas.logarithmic)
    scale = mappable(numbers, "y" in canvas.logarithmic)
    lines = LineCollection(
        [
            [(place, one.heights[case[name]]) for place, (name, one) in enumerate(uprights.items())]
            for case in cases
        ],
        cmap=scale.cmap,
        norm=scale.norm,
        linewidths=1.5 if len(cases) <= THIN_MIN else 0.5,
        alpha=0.9 if len(cases) <= THIN_MIN else 0.4,
        rasterized=len(cases) > RASTER_MIN,
    )
    lines.set_array(numbers)
    plane.add_collection(lines)
    for place, one in enumerate(uprights.values()):
        plane.axvline(place, color="0.3", linewidth=1.0)
        plane.plot([place] * len(one.labels), list(one.labels), "_", color="0.3")
        for height, text in one.labels.items():
            label = plane.text(place, height, f" {literal(text)}", fontsize=9, va="center")
            label.set_bbox({"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5})
    names = [literal(short(f"{name}{one.note}")) for name, one in uprights.items()]
    turned = 90 if sum(map(len, names)) + 2 * len(names) > 60 else 0
    style_axes(canvas, "", "")
    plane.set_xticks(range(len(names)), names, rotation=turned)
    plane.set_yticks([])
    for side in ("left", "bottom"):
        plane.spines[side].set_visible(False)
    plane.set_xlim(-0.1, len(names) - 0.5)
    plane.set_ylim(-0.05, 1.05)
    add_colour_bar(canvas, scale, y)


def _uprights(
    cases: list[dict[str, Any]], y: str, *, logarithmic: bool | None
) -> dict[str, _Upright]:
    """The axes of the params that differ. *Raises* InputError for none or too many."""
    values = {name: {case[name] for case in cases} for name in cases[0] if name != y}
    differing = {name: some for name, some in values.items() if len(some) > 1}
    if not 1 <= len(differing) <= AXES_MAX:
        raise InputError(
            f"{len(differing)} parameters differ between the cases: --kind parallel draws "
            f"1 to {AXES_MAX}",
            where="--kind",
            next_step="Select other cases, or take another kind.",
        )
    return {name: _upright(some, logarithmic) for name, some in differing.items()}


def _upright(values: set[Any], logarithmic: bool | None = None) -> _Upright:
    """Numbers by size, texts and numbers beyond floats in equal steps."""
    ordered = sorted_values(values)
    if any(isinstance(value, str) or not is_finite(value) for value in ordered):
        heights = {value: place / (len(ordered) - 1) for place, value in enumerate(ordered)}
        some = ordered[:: 1 + (len(ordered) - 1) // LABELS_MAX]
        return _Upright(heights=heights, labels={heights[one]: _text(one) for one in some})
    if logarithmic is None:
        logarithmic = is_logarithmic(ordered)

    def place_of(number: float) -> float:
        # Half of it: the difference of two floats may be beyond floats.
        return math.log10(number) if logarithmic else number / 2

    low = place_of(ordered[0])
    # The numbers of y may all be the same.
    span = (place_of(ordered[-1]) - low) or 1.0
    heights = {value: (place_of(value) - low) / span for value in ordered}
    are_apart = all(b - a >= LABELS_APART for a, b in pairwise(heights.values()))
    has_room = len(ordered) <= LABELS_MAX and are_apart
    some = ordered if has_room else _ticks(ordered, logarithmic=logarithmic)
    return _Upright(
        heights=heights,
        labels={(place_of(one) - low) / span: _text(one) for one in some},
        note=" (log)" if logarithmic else "",
    )


def _ticks(ordered: list[Any], *, logarithmic: bool) -> list[Any]:
    """Round numbers within the range of values, powers of ten if logarithmic; else both ends."""
    from matplotlib.ticker import LogLocator, MaxNLocator  # noqa: PLC0415  # rarely needed

    low, high = float(ordered[0]), float(ordered[-1])
    if not math.isfinite(high - low):
        return [ordered[0], ordered[-1]]
    locator = LogLocator(numticks=TICKS_MAX) if logarithmic else MaxNLocator(TICKS_MAX)
    # A power of ten has a rounding error (matplotlib 3.8), a round number is what it says.
    ticks = [float(f"{tick:.9g}") for tick in locator.tick_values(low, high)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) > 1 else [ordered[0], ordered[-1]]


def _text(value: Any) -> str:
    return short(label_of(value), LABEL_CHARACTERS)
