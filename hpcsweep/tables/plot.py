"""Figures of a sweep: one metric over one parameter, with a line per value of another."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.errors import ExtraMissing, InputError
from hpcsweep.files import atomic_output
from hpcsweep.quantities import counted
from hpcsweep.tables.figure_kinds import KINDS
from hpcsweep.tables.figure_style import (
    COLOURS,
    LEGEND_COLUMNS,
    LEGEND_ROWS,
    MARKERS,
    SIZE,
    Canvas,
    colour_scale,
    enlarge,
    literal,
    missing_glyphs,
)
from hpcsweep.tables.points import Axes, Points, left_out_text, logarithmic_scales, points
from hpcsweep.terminal_text import one_line

# Characters per line of the notes below a figure.
NOTE_CHARACTERS = 100
# What a band shows, by its name.
BAND_TEXTS = {
    "sd": "one standard deviation",
    "sem": "the standard error of the mean",
    "iqr": "the middle half of the values (quartiles)",
}
# What a point of `Points` is, by kind.
POINT_NAMES = {"line": "point", "heat": "cell", "box": "box", "ecdf": "curve", "hist": "histogram"}
BOX_TEXT = (
    "boxes: quartiles and median; whiskers: last case within 1.5 heights of the box; dots: beyond"
)
# Where a format keeps a description. None leaves the time out: one input, one file.
METADATA: dict[str, tuple[str, dict[str, None]]] = {
    ".png": ("Description", {}),
    ".pdf": ("Subject", {"CreationDate": None}),
    ".svg": ("Description", {"Date": None}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What a figure is drawn from, in words."""

    # For the metadata of the file.
    about: str = ""
    # Lines below the notes.
    remarks: tuple[str, ...] = ()


def draw(
    rows: Iterable[Mapping[str, Any]],
    axes: Axes,
    path: Path,
    params: Iterable[str] = (),
    origin: Origin | None = None,
) -> list[str]:
    """Draw a figure. *Writes* `path` atomically; its suffix selects the format.

    Returns the notes that stand below it: which cases are not drawn, and what was averaged.
    *Raises* ExtraMissing without matplotlib, InputError for data that cannot be drawn,
    SweepError if the file cannot be written.
    """
    if path.suffix not in METADATA:
        raise InputError(f"{path} is not a {', '.join(METADATA)}", where="--output")
    origin = origin or Origin()
    data = points(rows, axes, params)
    try:
        from matplotlib import rc_context  # noqa: PLC0415  # rarely needed
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing(
            "matplotlib is not installed",
            next_step="Install it: pip install 'hpcsweep[plot]'",
        ) from error
    # A user's matplotlibrc may ask for LaTeX, which may be missing, and takes `wall_seconds` for a
    # formula. Without a salt the ids inside an SVG are random.
    settings = rc_context({"text.usetex": False, "svg.hashsalt": "hpcsweep"})
    with settings, missing_glyphs() as missing:
        figure = Figure(figsize=SIZE, layout="constrained")
        canvas = _drawn_on(figure, data, axes)
        notes = list(_notes(canvas))
        below = [literal(note) for note in (*notes, *origin.remarks)]
        lines = [line for note in below for line in textwrap.wrap(note, NOTE_CHARACTERS)]
        figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=9, color="0.35")
        key, no_time = METADATA[path.suffix]
        metadata = no_time | {"Title": one_line(axes.title), key: one_line(origin.about)}
        enlarge(canvas, len(lines))
        with atomic_output(path) as output:
            figure.savefig(output, dpi=200, format=path.suffix[1:], metadata=metadata)
    if missing:
        notes.append(
            f"the font has no {''.join(missing)}: boxes stand there; name a font that has them as "
            "`font.family` in a matplotlibrc file"
        )
    return notes


def _drawn_on(figure: Any, data: Points, axes: Axes) -> Canvas:
    """Draw the data on a figure. *Raises* InputError."""
    logarithmic = logarithmic_scales(data, axes)
    canvas = Canvas(
        figure=figure,
        plane=figure.add_subplot(),
        data=data,
        axes=axes,
        logarithmic=logarithmic,
        scale=colour_scale(data, axes, logarithmic),
    )
    KINDS[axes.kind](canvas)
    return canvas


def _notes(canvas: Canvas) -> Iterator[str]:
    """What a reader of the figure has to know."""
    data, axes = canvas.data, canvas.axes
    yield _drawn(data)
    yield from _pooled(data, axes)
    if axes.kind == "line":
        for band in sorted(data.bands(axes.band)):
            of_replicates = " of replicates" if axes.band is None else ""
            yield f"band: {BAND_TEXTS[band]}{of_replicates}, within their range"
        if scattered := data.params_named("scattered"):
            yield f"no lines: the points differ in {', '.join(scattered)}, too"
    if axes.kind == "box":
        yield BOX_TEXT
    if axes.kind == "parallel":
        yield f"a line for each case, through its parameters; on top: the largest {axes.numbers}"
    if axes.kind == "heat":
        cells = len(data.lines) * len(data.places())
        if empty := cells - len(data.xs()):
            of_cells = f"of {counted(cells, 'cell')}"
            yield f"grey: {counted(empty, f'{of_cells} has', f'{of_cells} have')} no case"
    if canvas.scale is None and axes.by and axes.kind != "heat":
        yield from _repeated(data, axes)
    scales = [which for which in canvas.logarithmic if which != "by"]
    if scales and axes.log is None:
        yield f"logarithmic: {' and '.join(scales)}; --log none draws it linear"


def _drawn(data: Points) -> str:
    total = data.drawn + data.left_out.total()
    of_cases = f"of {counted(total, 'case')}"
    text = counted(data.drawn, f"{of_cases} is drawn", f"{of_cases} are drawn")
    return f"{text}; not drawn: {left_out_text(data.left_out)}" if data.left_out else text


def _pooled(data: Points, axes: Axes) -> Iterator[str]:
    """What the cases at one point differ in, where that is not seen."""
    names = ", ".join(data.params_named("pooled"))
    if not names or axes.kind in ("scatter", "parallel"):
        return
    count = data.cases_per_point(POINT_NAMES[axes.kind])
    if axes.kind in ("line", "heat"):
        dots = any(line.has_params_pooled for line in data.lines.values()) and axes.kind == "line"
        yield f"averaged over {names}: {count}{'; small dots: the cases' if dots else ''}"
    else:
        yield f"cases that differ in {names}: {count}"


def _repeated(data: Points, axes: Axes) -> Iterator[str]:
    """Which lines cannot be told apart, or are missing in the legend."""
    looks = len(COLOURS) * (len(MARKERS) if axes.kind in ("line", "scatter") else 1)
    if len(data.lines) > looks:
        what = "colours and markers" if looks > len(COLOURS) else "colours"
        yield f"more than {looks} lines: {what} repeat"
    if len(data.lines) > LEGEND_ROWS * LEGEND_COLUMNS:
        first = LEGEND_ROWS * LEGEND_COLUMNS
        yield f"the legend names the first {first} of {len(data.lines)} values of {axes.by}"
