"""The look of a figure: colours, labels, scales, legend."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hpcsweep.tables.points import Axes, Line, Points
from hpcsweep.terminal_text import one_line

# Distinct for colour-blind readers and in grey: Okabe and Ito (2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = "osD^vPXd"
# With more lines, a colour bar replaces the legend.
LEGEND_MAX = 8
# Entries per column of the legend, and columns.
LEGEND_ROWS = 14
LEGEND_COLUMNS = 5
# The line height of the notes below a figure, and the figure's size; in inches.
NOTE_LINE = 0.16
SIZE = (7.2, 4.5)
# Characters of a label in a legend or at an axis, and labels per axis.
TEXT_CHARACTERS = 40
TICKS_MAX = 40
# Kinds without an upward scale.
HAS_Y_AS_COLOUR = ("heat", "parallel")
_MISSING_GLYPH = re.compile(r"Glyph ([0-9]+) .* missing from")


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """Where a figure is drawn, and what: objects of matplotlib, and the data."""

    figure: Any
    plane: Any
    data: Points
    axes: Axes
    # The logarithmic ones of x, y and by.
    logarithmic: list[str]
    # The colour of each line, if a colour bar replaces the legend.
    scale: Any = None

    def styled_lines(self) -> Iterator[tuple[Line, dict[str, Any]]]:
        """Each line, with its colour, marker and label."""
        for position, (by, line) in enumerate(self.data.lines.items()):
            label = None
            if self.axes.by and not self.scale:
                label = literal(f"{self.axes.by} = {label_of(by)}")
            colour = self.scale.to_rgba(by) if self.scale else COLOURS[position % len(COLOURS)]
            # Offset by one per 8 lines: all 64 pairs of colour and marker are distinct.
            place = 0 if self.scale else position + position // len(COLOURS)
            style = {"color": colour, "marker": MARKERS[place % len(MARKERS)], "label": label}
            yield line, style


@contextmanager
def missing_glyphs() -> Iterator[list[str]]:
    """The characters, each once, that matplotlib's font did not have while the block drew them.

    matplotlib issues a warning for each; other warnings are passed on.
    """
    missing: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield missing
    for warning in caught:
        match = _MISSING_GLYPH.match(str(warning.message))
        if match is None:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        elif (character := chr(int(match[1]))) not in missing:
            missing.append(character)


def literal(text: str) -> str:
    """A literal label: `$` does not start a formula, control characters are escaped."""
    return one_line(text).replace("$", r"\$")


def label_of(value: Any) -> str:
    """A value as a label; long texts are truncated."""
    return short(f"{value:g}" if isinstance(value, float) else str(value))


def short(text: str, length: int = TEXT_CHARACTERS) -> str:
    """A text that fits at an axis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def colour_scale(data: Points, axes: Axes, logarithmic: list[str]) -> Any:
    """A colour scale for many numeric lines; None if a legend is used."""
    is_asked = axes.log is not None and "by" in axes.log
    if axes.kind in HAS_Y_AS_COLOUR or not (is_asked or len(data.lines) > LEGEND_MAX):
        return None
    if not all(isinstance(by, int | float) for by in data.lines):
        return None
    return mappable(list(data.lines), "by" in logarithmic)


def mappable(values: list[Any], is_logarithmic: bool) -> Any:
    """Colours from the least to the largest value."""
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415  # rarely needed
    from matplotlib.colors import LogNorm, Normalize  # noqa: PLC0415

    kind = LogNorm if is_logarithmic else Normalize
    return ScalarMappable(kind(min(values), max(values)), "viridis")


def add_colour_bar(canvas: Canvas, scale: Any, label: str | None) -> None:
    """Add the bar that explains a colour scale."""
    bar = canvas.figure.colorbar(scale, ax=canvas.plane, pad=0.02)
    bar.set_label(literal(short(label or "")), fontsize=13)
    bar.outline.set_visible(False)


def add_legend(canvas: Canvas) -> None:
    """Add the legend of the lines, or the bar of their colours."""
    if canvas.scale:
        add_colour_bar(canvas, canvas.scale, canvas.axes.by)
    elif canvas.axes.by:
        # Beside the axes: inside, the legend would cover lines.
        handles, labels = canvas.plane.get_legend_handles_labels()
        first = LEGEND_ROWS * LEGEND_COLUMNS
        canvas.plane.legend(
            handles[:first],
            labels[:first],
            frameon=False,
            fontsize=12,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            ncols=1 + (min(first, len(labels)) - 1) // LEGEND_ROWS,
        )


def enlarge(canvas: Canvas, note_lines: int) -> None:
    """Enlarge the figure if legend and notes would leave too little room for the axes."""
    figure, plane = canvas.figure, canvas.plane
    legend = plane.get_legend()
    beside = legend.get_window_extent().width / figure.dpi if legend else 0.0
    labels = [label.get_window_extent().height / figure.dpi for label in plane.get_xticklabels()]
    below = max(labels, default=0.0) + note_lines * NOTE_LINE
    width, height = SIZE
    figure.set_size_inches(width + max(0.0, beside - width / 3), height + max(0.0, below - 0.7))


def style_axes(canvas: Canvas, x: str, y: str) -> None:
    """Set labels, scales, title and grid."""
    plane, axes = canvas.plane, canvas.axes
    ranges = {"x": canvas.data.xs() if axes.y else canvas.data.ys(), "y": canvas.data.ys()}
    for which in ("x", "y"):
        if which in canvas.logarithmic and axes.kind not in HAS_Y_AS_COLOUR:
            getattr(plane, f"set_{which}scale")("log")
            if which == "x" or axes.y:
                some = ranges[which]
                _label_decades(getattr(plane, f"{which}axis"), max(some) / min(some))
    plane.set_xlabel(literal(short(x)), fontsize=14)
    plane.set_ylabel(literal(short(y)), fontsize=14)
    if axes.title:
        plane.set_title(literal(axes.title), fontsize=15, loc="left", pad=10)
    plane.tick_params(labelsize=12)
    if axes.kind not in HAS_Y_AS_COLOUR:
        plane.grid(visible=True, color="0.85", linewidth=0.8)
    plane.set_axisbelow(True)
    for side in ("top", "right"):
        plane.spines[side].set_visible(False)
    plane.margins(x=0.0 if axes.kind == "heat" else 0.03)


def set_places(axis: Any, places: Mapping[Any, float]) -> None:
    """Label an axis that has a place for each value, as many as are readable."""
    some = list(places)[:: 1 + (len(places) - 1) // TICKS_MAX]
    texts = [literal(label_of(value)) for value in some]
    turned = 90 if axis.axis_name == "x" and sum(map(len, texts)) + 2 * len(texts) > 60 else 0
    axis.set_ticks([places[value] for value in some], texts, rotation=turned)


def _label_decades(axis: Any, ratio: float) -> None:
    """On an axis of less than two decades, label 1, 2 and 5 instead of powers of ten."""
    from matplotlib import ticker  # noqa: PLC0415  # rarely needed

    if ratio >= 100:
        return
    few = ticker.LogLocator(subs=(1.0, 2.0, 5.0)) if ratio >= 5 else ticker.AutoLocator()
    axis.set_major_locator(few)
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
