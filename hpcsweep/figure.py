"""Figures of a sweep: one metric over one parameter, a line for each value of another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from hpcsweep.errors import ExtraMissing, InputError
from hpcsweep.files import whole
from hpcsweep.screen import one_line

# Told apart by people who see colours differently, and in grey: Okabe and Ito (2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = "osD^vPXd"
FORMATS = (".png", ".pdf", ".svg")
# More lines than this get a scale of colours instead of a legend.
LEGEND_MAX = 8
# Lines of more points have no markers.
POINTS_MAX = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What is drawn: columns of the table."""

    x: str
    y: str
    by: str | None = None
    # Which axes are logarithmic, of "x" and "y".
    log: tuple[str, ...] = ()
    title: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed."""
        return tuple(dict.fromkeys(one for one in (self.x, self.y, self.by) if one))


# The points of one line: for each x all values of y, one per case.
Line = dict[Any, list[float]]


def lines(rows: Iterable[Mapping[str, Any]], axes: Axes) -> dict[Any, Line]:
    """The points of each line, by the value of `by`; cases without a value are left out.

    *Raises* InputError where nothing is left, or where y is no number.
    """
    found: dict[Any, Line] = {}
    for row in rows:
        x, y, by = row.get(axes.x), row.get(axes.y), row.get(axes.by or "")
        if x is None or y is None or (axes.by and by is None):
            continue
        if isinstance(y, bool) or not isinstance(y, int | float):
            raise InputError(f"{axes.y} is no number: {y!r:.60}", where="--y")
        if not isinstance(x, int | float | str):
            x = str(x)
        by = by if isinstance(by, int | float | str) else str(by)
        found.setdefault(by, {}).setdefault(x, []).append(float(y))
    if not found:
        raise InputError(
            f"no complete case has {' and '.join(axes.columns)}",
            next_step="`hpcsweep collect SWEEP` shows what there is.",
        )
    order = _sorted(found)
    return {by: {x: found[by][x] for x in _sorted(found[by])} for by in order}


def _sorted(values: Iterable[Any]) -> list[Any]:
    """Numbers by size, before texts by name."""
    return sorted(values, key=lambda one: (isinstance(one, str), one))


def draw(rows: Iterable[Mapping[str, Any]], axes: Axes, path: Path) -> None:
    """Draw a figure. *Writes* `path`, whole; its suffix says the format.

    Several cases at one point are drawn as their mean and a band of one standard deviation.
    *Raises* ExtraMissing without matplotlib, InputError for what cannot be drawn,
    SweepError where the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path} is no {', '.join(FORMATS)}", where="--output")
    found = lines(rows, axes)
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  # only those who draw need it
    except ImportError as error:
        raise ExtraMissing(
            "matplotlib is not installed",
            next_step="Install it: pip install 'hpcsweep[plot]'",
        ) from error
    figure = Figure(figsize=(7.2, 4.5), layout="constrained")
    plane = figure.add_subplot()
    _lines(figure, plane, found, axes)
    _dress(plane, found, axes)
    with whole(path) as place:
        figure.savefig(place, dpi=200, format=path.suffix[1:])


def _lines(figure: Any, plane: Any, found: dict[Any, Line], axes: Axes) -> None:
    numbers = all(isinstance(by, int | float) for by in found)
    scale = _scale(found) if len(found) > LEGEND_MAX and numbers else None
    for place, (by, line) in enumerate(found.items()):
        colour = scale.to_rgba(by) if scale else COLOURS[place % len(COLOURS)]
        few = len(line) <= POINTS_MAX and not scale
        marker = MARKERS[place % len(MARKERS)] if few else ""
        means = [fmean(values) for values in line.values()]
        label = _shown(f"{axes.by} = {_text(by)}") if axes.by and not scale else None
        plane.plot(
            list(line), means, color=colour, marker=marker, markersize=6, linewidth=1.8,
            markeredgecolor="white", markeredgewidth=0.6, label=label,
        )  # fmt: skip
        if any(len(values) > 1 for values in line.values()):
            spread = [stdev(values) if len(values) > 1 else 0.0 for values in line.values()]
            low = [mean - one for mean, one in zip(means, spread, strict=True)]
            high = [mean + one for mean, one in zip(means, spread, strict=True)]
            if "y" in axes.log:  # a band cannot go below what the axis shows
                low = [one if one > 0 else min(values) for one, values in
                       zip(low, line.values(), strict=True)]  # fmt: skip
            plane.fill_between(list(line), low, high, color=colour, alpha=0.18, linewidth=0)
    if scale:
        bar = figure.colorbar(scale, ax=plane, pad=0.02)
        bar.set_label(_shown(axes.by or ""), fontsize=13)
        bar.outline.set_visible(False)
    elif axes.by:
        # Beside the lines: inside, it would lie on some of them.
        plane.legend(frameon=False, fontsize=12, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _scale(found: dict[Any, Line]) -> Any:
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415  # only those who draw need it
    from matplotlib.colors import Normalize  # noqa: PLC0415

    return ScalarMappable(Normalize(min(found), max(found)), "viridis")


def _dress(plane: Any, found: dict[Any, Line], axes: Axes) -> None:
    for which, name in (("x", axes.x), ("y", axes.y)):
        if which in axes.log:
            values = list(chain(*found.values()) if which == "x" else _all_of(found))
            if any(isinstance(value, str) or value <= 0 for value in values):
                raise InputError(
                    f"{name} has values that are not above 0, which no logarithm has",
                    where="--log",
                )
            getattr(plane, f"set_{which}scale")("log")
            _label_decades(getattr(plane, f"{which}axis"), max(values) / min(values))
    plane.set_xlabel(_shown(axes.x), fontsize=14)
    plane.set_ylabel(_shown(axes.y), fontsize=14)
    if axes.title:
        plane.set_title(_shown(axes.title), fontsize=15, loc="left", pad=10)
    plane.tick_params(labelsize=12)
    plane.grid(visible=True, color="0.85", linewidth=0.8)
    plane.set_axisbelow(True)
    for side in ("top", "right"):
        plane.spines[side].set_visible(False)
    plane.margins(x=0.03)


def _label_decades(axis: Any, ratio: float) -> None:
    """Label less than two decades with numbers, 1, 2 and 5 of each, rather than powers of ten."""
    from matplotlib import ticker  # noqa: PLC0415  # only those who draw need it

    if ratio >= 100:
        return
    few = ticker.LogLocator(subs=(1.0, 2.0, 5.0)) if ratio >= 5 else ticker.AutoLocator()
    axis.set_major_locator(few)
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))


def _all_of(found: dict[Any, Line]) -> Iterator[float]:
    for line in found.values():
        yield from chain(*line.values())


def _shown(text: str) -> str:
    """A text as it is: no formula between two dollars, and what no font has written out."""
    return one_line(text).replace("$", r"\$")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
