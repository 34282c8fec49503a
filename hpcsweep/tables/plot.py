"""Figures of a sweep: one metric over one parameter, with a line per value of another."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, quantiles, stdev
from typing import Any

from hpcsweep.errors import ExtraMissing, InputError
from hpcsweep.files import atomic_output
from hpcsweep.tables.points import Axes, Line, Points, is_logarithmic, left_out_text, points
from hpcsweep.terminal_text import one_line

# Distinct for colour-blind readers and in grey: Okabe and Ito (2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = "osD^vPXd"
# With more lines, a colour bar replaces the legend.
LEGEND_MAX = 8
# Lines with more points have no markers.
POINTS_MAX = 30
# Entries per column of the legend.
LEGEND_ROWS = 14
# Characters per line of the notes below a figure, and the line height in inches.
NOTE_CHARACTERS = 100
NOTE_LINE = 0.16
# In inches.
SIZE = (7.2, 4.5)
# Characters of a label in a legend or at an axis, and labels per axis.
TEXT_CHARACTERS = 40
TICKS_MAX = 40
# What a band shows, by its name.
BAND_TEXTS = {
    "sd": "one standard deviation",
    "sem": "the standard error of the mean",
    "iqr": "the middle half of the values (quartiles)",
}
# Where a format keeps a description. None leaves the time out: one input, one file.
METADATA: dict[str, tuple[str, dict[str, None]]] = {
    ".png": ("Description", {}),
    ".pdf": ("Subject", {"CreationDate": None}),
    ".svg": ("Description", {"Date": None}),
}


def draw(
    rows: Iterable[Mapping[str, Any]],
    axes: Axes,
    path: Path,
    params: Iterable[str] = (),
    about: str = "",
) -> list[str]:
    """Draw a figure. *Writes* `path` atomically; its suffix selects the format.

    `about` goes into the metadata of the file.

    Returns the notes printed below it: which cases are not drawn, and what was averaged.
    *Raises* ExtraMissing without matplotlib, InputError for data that cannot be drawn,
    SweepError if the file cannot be written.
    """
    if path.suffix not in METADATA:
        raise InputError(f"{path} is not a {', '.join(METADATA)}", where="--output")
    data = points(rows, axes, params)
    try:
        from matplotlib import rc_context  # noqa: PLC0415  # rarely needed
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing(
            "matplotlib is not installed",
            next_step="Install it: pip install 'hpcsweep[plot]'",
        ) from error
    figure = Figure(figsize=SIZE, layout="constrained")
    plane = figure.add_subplot()
    _lines(figure, plane, data, axes)
    logarithmic = _style_axes(plane, data, axes)
    notes = _notes(data, axes, logarithmic)
    lines = [line for note in notes for line in textwrap.wrap(_literal(note), NOTE_CHARACTERS)]
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=9, color="0.35")
    _enlarge(figure, plane, len(lines))
    key, no_time = METADATA[path.suffix]
    metadata = no_time | {"Title": one_line(axes.title), key: one_line(about)}
    # Without a salt the ids inside an SVG are random.
    with rc_context({"svg.hashsalt": "hpcsweep"}), atomic_output(path) as output:
        figure.savefig(output, dpi=200, format=path.suffix[1:], metadata=metadata)
    return notes


def _notes(data: Points, axes: Axes, logarithmic: list[str]) -> list[str]:
    total = data.drawn + data.left_out.total()
    notes = [f"{data.drawn} of {total} cases are drawn"]
    if data.left_out:
        notes[0] += f"; not drawn: {left_out_text(data.left_out)}"
    if pooled := data.params_named("pooled"):
        dots = any(line.has_params_pooled for line in data.lines.values())
        averaged = f"averaged over {', '.join(pooled)}: {data.cases_per_point()}"
        notes.append(f"{averaged}; small dots: the cases" if dots else averaged)
    for band in sorted(data.bands(axes.band)):
        of_replicates = " of replicates" if axes.band is None else ""
        notes.append(f"band: {BAND_TEXTS[band]}{of_replicates}, within their range")
    if scattered := data.params_named("scattered"):
        notes.append(f"no lines: the points differ in {', '.join(scattered)}, too")
    if len(data.lines) > len(COLOURS) * len(MARKERS) and _scale_of(data, axes) is None:
        notes.append(f"more than {len(COLOURS) * len(MARKERS)} lines: colours and markers repeat")
    if logarithmic and axes.log is None:
        notes.append(f"logarithmic: {' and '.join(logarithmic)}; --log none draws it linear")
    return notes


def _lines(figure: Any, plane: Any, data: Points, axes: Axes) -> None:
    scale, ticks = _scale_of(data, axes), data.tick_positions()
    for position, (by, line) in enumerate(data.lines.items()):
        label = _literal(f"{axes.by} = {_label(by)}") if axes.by and not scale else None
        colour = scale.to_rgba(by) if scale else COLOURS[position % len(COLOURS)]
        # Offset by one per 8 lines: all 64 pairs of colour and marker are distinct.
        marker = MARKERS[0 if scale else (position + position // len(COLOURS)) % len(MARKERS)]
        style = {"color": colour, "marker": marker, "label": label}
        _line(plane, line, ticks, line.band(axes.band), style)
    if scale:
        bar = figure.colorbar(scale, ax=plane, pad=0.02)
        bar.set_label(_literal(axes.by or ""), fontsize=13)
        bar.outline.set_visible(False)
    elif axes.by:
        # Beside the axes: inside, the legend would cover lines.
        plane.legend(
            frameon=False,
            fontsize=12,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            ncols=1 + (len(data.lines) - 1) // LEGEND_ROWS,
        )


def _enlarge(figure: Any, plane: Any, note_lines: int) -> None:
    """Enlarge the figure if legend and notes would leave too little room for the axes."""
    legend = plane.get_legend()
    beside = legend.get_window_extent().width / figure.dpi if legend else 0.0
    labels = [label.get_window_extent().height / figure.dpi for label in plane.get_xticklabels()]
    below = max(labels, default=0.0) + note_lines * NOTE_LINE
    width, height = SIZE
    figure.set_size_inches(width + max(0.0, beside - width / 3), height + max(0.0, below - 0.7))


def _line(plane: Any, line: Line, ticks: dict[Any, int], band: str, style: dict[str, Any]) -> None:
    """Draw a line through the means; only points if a connecting line would mislead."""
    xs = [ticks.get(x, x) for x in line.points]
    values = [point.values for point in line.points.values()]
    # Do not connect texts, nor cases that differ in more than x.
    joined = len(xs) > 1 and not line.scattered and not ticks
    few = len(xs) <= POINTS_MAX or not joined
    means = [fmean(some) for some in values]
    colour = style["color"]
    plane.plot(
        xs,
        means,
        linestyle="-" if joined else "",
        linewidth=1.8,
        markersize=6 if few else 0,
        markeredgecolor="white",
        markeredgewidth=0.6,
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


def _scale_of(data: Points, axes: Axes) -> Any:
    """A colour scale for many numeric lines; None if a legend is used. *Raises* InputError."""
    asked = axes.log is not None and "by" in axes.log
    if asked and not all(isinstance(by, int | float) and by > 0 for by in data.lines):
        raise InputError(
            f"{axes.by} has texts, or values of 0 or less, which have no logarithm",
            where="--log",
        )
    is_numeric = all(isinstance(by, int | float) for by in data.lines)
    if not asked and (len(data.lines) <= LEGEND_MAX or not is_numeric):
        return None
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415  # rarely needed
    from matplotlib.colors import LogNorm, Normalize  # noqa: PLC0415

    logarithmic = asked or (axes.log is None and is_logarithmic(data.lines))
    kind = LogNorm if logarithmic else Normalize
    return ScalarMappable(kind(min(data.lines), max(data.lines)), "viridis")


def _style_axes(plane: Any, data: Points, axes: Axes) -> list[str]:
    """Set scales, labels and grid. Returns the logarithmic axes."""
    logarithmic = []
    for which, name, values in (("x", axes.x, data.xs()), ("y", axes.y, data.ys())):
        if which in axes.log if axes.log is not None else is_logarithmic(values):
            if any(isinstance(value, str) or value <= 0 for value in values):
                raise InputError(
                    f"{name} has values of 0 or less, which have no logarithm",
                    where="--log",
                )
            getattr(plane, f"set_{which}scale")("log")
            _label_decades(getattr(plane, f"{which}axis"), max(values) / min(values))
            logarithmic.append(which)
    _set_text_ticks(plane, data.tick_positions())
    plane.set_xlabel(_literal(axes.x), fontsize=14)
    plane.set_ylabel(_literal(axes.y), fontsize=14)
    if axes.title:
        plane.set_title(_literal(axes.title), fontsize=15, loc="left", pad=10)
    plane.tick_params(labelsize=12)
    plane.grid(visible=True, color="0.85", linewidth=0.8)
    plane.set_axisbelow(True)
    for side in ("top", "right"):
        plane.spines[side].set_visible(False)
    plane.margins(x=0.03)
    return logarithmic


def _set_text_ticks(plane: Any, ticks: dict[Any, int]) -> None:
    """Set the labels of a text axis, as many as are readable."""
    if ticks:
        some = list(ticks)[:: 1 + (len(ticks) - 1) // TICKS_MAX]
        texts = [_literal(_label(value)) for value in some]
        turned = 90 if sum(map(len, texts)) + 2 * len(texts) > 60 else 0
        plane.set_xticks([ticks[value] for value in some], texts, rotation=turned)


def _label_decades(axis: Any, ratio: float) -> None:
    """On an axis of less than two decades, label 1, 2 and 5 instead of powers of ten."""
    from matplotlib import ticker  # noqa: PLC0415  # rarely needed

    if ratio >= 100:
        return
    few = ticker.LogLocator(subs=(1.0, 2.0, 5.0)) if ratio >= 5 else ticker.AutoLocator()
    axis.set_major_locator(few)
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))


def _literal(text: str) -> str:
    """A literal label: `$` does not start a formula, control characters are escaped."""
    return one_line(text).replace("$", r"\$")


def _label(value: Any) -> str:
    """A value as a label; long texts are truncated."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 1]}…"
