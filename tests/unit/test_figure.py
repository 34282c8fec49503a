"""A figure of a sweep: the points that are drawn, and what cannot be drawn."""

from __future__ import annotations

import errno
import math
import os
import sys
import warnings
from importlib import import_module
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hpcsweep.cli.commands.plot import command
from hpcsweep.errors import ExtraMissing, InputError, SweepError
from hpcsweep.tables.figure_kinds import KINDS
from hpcsweep.tables.plot import Origin, draw
from hpcsweep.tables.points import BANDS, NEEDED, SCALES, Axes, points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# One worker of a test run loads all of matplotlib: no import at the top, which all workers do.
pytestmark = pytest.mark.xdist_group("figure")

ROWS: list[dict[str, Any]] = [
    {"x": x, "k": k, "y": x * k + r} for k in (2.0, 1.0) for x in (10, 2) for r in (0, 1)
]


def test_points_are_grouped_and_in_order() -> None:
    found = points([*ROWS, {"x": 5, "k": 1.0}, {"y": 1, "k": 1.0}], Axes(x="x", y="y", by="k"))
    values = {
        by: {x: point.values for x, point in line.points.items()}
        for by, line in found.lines.items()
    }
    assert values == {
        1.0: {2: [2.0, 3.0], 10: [10.0, 11.0]},
        2.0: {2: [4.0, 5.0], 10: [20.0, 21.0]},
    }
    assert list(found.lines) == [1.0, 2.0]
    assert list(found.lines[1.0].points) == [2, 10]
    assert (found.drawn, found.left_out) == (8, {"without y": 1, "without x": 1})
    assert list(points(ROWS, Axes(x="x", y="y")).lines) == [None]


def test_params_are_told_apart_as_cases_are() -> None:
    """One param may be 1 in a row and 1.0 in another, and True is not 1."""
    same = [{"x": 1, "y": 2.0, "p": 1, "q": [1]}, {"x": 1, "y": 3.0, "p": 1.0, "q": [1.0]}]
    axes = Axes(x="x", y="y")
    assert points(same, axes, ("p", "q")).params_named("pooled") == []
    other = {"x": 1, "y": 4.0, "p": True, "q": [True]}
    assert points([*same, other], axes, ("p", "q")).params_named("pooled") == ["p", "q"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    real = import_module("matplotlib.figure").Figure.savefig

    def save(figure: Figure, *args: Any, **how: Any) -> None:
        figures.append(figure)
        real(figure, *args, **how)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
    return figures


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_figure_says_what_it_shows(tmp_path: Path, drawn: list[Figure], suffix: str) -> None:
    axes = Axes(x="x", y="y", by="k", log=("x", "y"), title="s")
    draw(ROWS, axes, tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").stat().st_size > 1000
    (plane,) = drawn[0].axes
    assert (plane.get_xlabel(), plane.get_ylabel(), plane.get_title("left")) == ("x", "y", "s")
    assert (plane.get_xscale(), plane.get_yscale()) == ("log", "log")
    legend = plane.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["k = 1", "k = 2"]
    first, second = plane.get_lines()
    assert np.asarray(first.get_ydata()).tolist() == [2.5, 10.5]
    assert first.get_color() != second.get_color()
    assert len(plane.collections) == 2  # the bands


def test_the_legend_does_not_cover_the_lines(tmp_path: Path, drawn: list[Figure]) -> None:
    draw(ROWS, Axes(x="x", y="y", by="k"), tmp_path / "a.png")
    (plane,) = drawn[0].axes
    legend = plane.get_legend()
    assert legend is not None
    assert legend.get_window_extent().x0 >= plane.get_window_extent().x1


@pytest.mark.parametrize(("last", "label"), [(30, "20"), (3, "2.5"), (1.2, "1.1")])
def test_few_decades_have_numbers(
    tmp_path: Path, drawn: list[Figure], last: float, label: str
) -> None:
    rows: list[dict[str, Any]] = [{"x": 1, "y": 1}, {"x": 2, "y": last}]
    draw(rows, Axes(x="x", y="y", log=("y",)), tmp_path / "a.png")
    low, high = drawn[0].axes[0].get_ylim()
    labels = drawn[0].axes[0].get_yticklabels()
    shown = [one.get_text() for one in labels if low <= one.get_position()[1] <= high]
    assert {"1", label} <= set(shown)
    assert [float(one) for one in shown] == sorted({float(one) for one in shown})


def test_many_lines_have_a_scale_of_colours(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{"x": x, "y": x * k, "k": k} for x in (1, 2) for k in range(12)]
    draw(rows, Axes(x="x", y="y", by="k"), tmp_path / "a.png")
    plane, scale = drawn[0].axes
    assert plane.get_legend() is None
    assert scale.get_ylabel() == "k"


def test_texts_are_places(tmp_path: Path, drawn: list[Figure]) -> None:
    draw([{"x": "b", "y": 1}, {"x": "a", "y": 2}], Axes(x="x", y="y"), tmp_path / "a.png")
    assert [text.get_text() for text in drawn[0].axes[0].get_xticklabels()] == ["a", "b"]


def test_no_state_of_matplotlib_is_changed(tmp_path: Path) -> None:
    parameters = import_module("matplotlib").rcParams
    before = dict(parameters)
    draw(ROWS, Axes(x="x", y="y"), tmp_path / "a.png")
    assert dict(parameters) == before


def test_a_matplotlibrc_that_wants_latex_is_drawn_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(import_module("matplotlib").rcParams, "text.usetex", True)
    monkeypatch.setenv("PATH", str(tmp_path))  # no latex
    rows = [{"x": x, "wall_seconds": x} for x in range(2)]
    draw(rows, Axes(x="x", y="wall_seconds"), tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").exists()


def test_a_truth_value_is_one_or_zero() -> None:
    rows = [{"x": 1, "y": y, "replicate": r} for r, y in enumerate((True, False, True, True))]
    assert points(rows, Axes(x="x", y="y")).means() == [0.75]


@pytest.mark.parametrize(
    ("rows", "axes", "name", "message"),
    [
        (
            [],
            Axes(x="x", y="y", by="k"),
            "a.png",
            "no complete case has x and y and k: there is no",
        ),
        ([{"status": "failed", "x": 1}] * 2, Axes(x="x", y="y"), "a.png", "x and y: 2 failed"),
        ([{"x": 1, "y": "high"}], Axes(x="x", y="y"), "a.png", "y is not a number: 'high'"),
        ([{"x": 1, "y": [0.5]}], Axes(x="x", y="y"), "a.png", "Write the number without"),
        ([{"x": 0, "y": 1}], Axes(x="x", y="y", log=("x",)), "a.png", "x has values of 0 or less"),
        ([{"x": 1, "y": -1}], Axes(x="x", y="y", log=("y",)), "a.png", "y has values of 0 or less"),
        ([{"x": 1, "y": 1}], Axes(x="x", y="y"), "a.gif", "is not a .png, .pdf, .svg"),
    ],
)
def test_columns_that_cannot_be_drawn(
    tmp_path: Path, rows: list[dict[str, Any]], axes: Axes, name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw(rows, axes, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be written leaves the one that is there."""
    path = tmp_path / "a.png"
    path.write_text("the one before")

    def full(_: Figure, place: Path, **_options: Any) -> None:
        place.write_text("half of")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", full)
        with pytest.raises(SweepError, match="No space left"):
            draw([{"x": 1, "y": 1}], Axes(x="x", y="y"), path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]
    assert path.read_text() == "the one before"
    draw([{"x": 1, "y": 1}], Axes(x="x", y="y"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SweepError, match="cannot be written"):
        draw([{"x": 1, "y": 1}], Axes(x="x", y="y"), tmp_path / "none" / "a.png")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ExtraMissing, match=r"hpcsweep\[plot\]"):
        draw(ROWS, Axes(x="x", y="y"), tmp_path / "a.png")


# --- what a figure must not leave unsaid ----------------------------------------------------------


def grid(**axes: tuple[Any, ...]) -> list[dict[str, Any]]:
    names = list(axes)
    return [dict(zip(names, values, strict=True)) for values in product(*axes.values())]


def test_lines_of_one_point_are_points(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [one | {"score": one["a"] + 0.1 * one["b"]} for one in grid(a=(1, 2, 3, 4), b=(1, 2, 3))]
    notes = draw(rows, Axes(x="a", y="b", by="score"), tmp_path / "a.png", ["a", "b"])
    plane, _ = drawn[0].axes
    assert len(plane.get_lines()) == 12
    assert {line.get_marker() for line in plane.get_lines()} == {"o"}
    assert notes == ["12 of 12 cases are drawn"]


def test_a_mean_over_a_parameter_is_named_and_has_no_band(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    rows = [
        one | {"y": one["a"] * one["b"]} for one in grid(a=(1, 2, 3), b=(1, 10), replicate=(0, 1))
    ]
    notes = draw(rows, Axes(x="a", y="y"), tmp_path / "a.png", ["a", "b"])
    assert notes[1:] == ["averaged over b, replicate: 4 cases a point; small dots: the cases"]
    plane = drawn[0].axes[0]
    assert list(plane.collections) == []
    mean, cases = plane.get_lines()
    assert np.asarray(mean.get_ydata()).tolist() == [5.5, 11, 16.5]
    assert sorted(np.asarray(cases.get_ydata()).tolist()) == sorted(row["y"] for row in rows)
    assert notes[1] in drawn[0].get_supxlabel()


def test_a_band_is_of_replicates_and_within_their_range(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    times = (0.01, 0.02, 5.0)
    rows = [{"a": a, "seconds": s * a, "replicate": r} for a in (1, 2) for r, s in enumerate(times)]
    notes = draw(rows, Axes(x="a", y="seconds"), tmp_path / "a.png", ["a"])
    assert notes[1:3] == [
        "averaged over replicate: 3 cases a point",
        "band: one standard deviation of replicates, within their range",
    ]
    (band,) = drawn[0].axes[0].collections
    low = min(np.asarray(path.vertices)[:, 1].min() for path in band.get_paths())
    assert low == 0.01


def test_remarks_stand_below_the_notes(tmp_path: Path, drawn: list[Figure]) -> None:
    remark = "2 of 8 complete cases of $s were computed with other code"
    notes = draw(
        ROWS, Axes(x="x", y="y", by="k"), tmp_path / "a.png", origin=Origin(remarks=(remark,))
    )
    assert remark not in notes
    assert drawn[0].get_supxlabel().splitlines()[-1] == remark.replace("$", r"\$")


def test_points_of_some_cases_say_how_many(tmp_path: Path) -> None:
    rows = [{"a": a, "y": a, "replicate": r} for a in (1, 2, 3) for r in range(a)]
    notes = draw(rows, Axes(x="a", y="y"), tmp_path / "a.png", ["a"])
    assert notes[1] == "averaged over replicate: 1 to 3 cases a point"
    assert draw(rows[:1], Axes(x="a", y="y"), tmp_path / "a.png", ["a"])[1:] == []


@pytest.mark.parametrize(
    ("band", "ends", "said"),
    [
        ("sd", (3 - math.sqrt(2.5), 3 + math.sqrt(2.5)), "one standard deviation, "),
        ("sem", (3 - math.sqrt(0.5), 3 + math.sqrt(0.5)), "the standard error of the mean, "),
        ("iqr", (2, 4), "the middle half of the values (quartiles), "),
    ],
)
def test_a_band_that_is_asked_for_is_drawn(
    tmp_path: Path, drawn: list[Figure], band: str, ends: tuple[float, float], said: str
) -> None:
    rows = [{"a": a, "b": b, "y": b} for a in (1, 2) for b in range(1, 6)]
    notes = draw(rows, Axes(x="a", y="y", band=band), tmp_path / "a.png", ["a", "b"])
    assert notes[2:] == [f"band: {said}within their range"]
    (collection,) = drawn[0].axes[0].collections
    ys = np.concatenate([np.asarray(path.vertices)[:, 1] for path in collection.get_paths()])
    assert (ys.min(), ys.max()) == pytest.approx(ends)
    replicates = [{"a": a, "y": r, "replicate": r} for a in (1, 2) for r in range(3)]
    notes = draw(replicates, Axes(x="a", y="y", band="none"), tmp_path / "b.png", ["a"])
    assert notes[1:] == ["averaged over replicate: 3 cases a point"]
    assert list(drawn[1].axes[0].collections) == []


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_file_says_where_it_comes_from(tmp_path: Path, suffix: str) -> None:
    about = "manifest 0123abcd; hpcsweep plot s --x x"
    axes = Axes(x="x", y="y", by="k", title="a sweep")
    first, again = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, again):
        draw(ROWS, axes, path, origin=Origin(about=about))
    assert first.read_bytes() == again.read_bytes()
    assert about.encode() in first.read_bytes()
    assert b"a sweep" in first.read_bytes()
    assert b"CreationDate" not in first.read_bytes()
    draw(ROWS, axes, first, origin=Origin(about="\x1b]0;\udcff\x00é"))  # what no XML may have
    assert first.read_bytes() != again.read_bytes()


def test_cases_that_are_not_drawn_are_counted(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [
        {"status": "complete", "x": 1, "y": 2.0},
        {"status": "failed", "x": 2, "y": 3.0},
        {"status": "pending", "x": 3},
        {"status": "complete", "x": 4},
        {"status": "complete", "x": 5, "y": math.nan},
        {"status": "complete", "x": 6, "y": -math.inf},
        {"status": "complete", "x": 7, "y": 10**400},
    ]
    said = (
        "1 of 7 cases is drawn; not drawn: 1 failed, 1 pending, 3 whose y is not a finite number, "
    )
    said += "1 without y"
    assert draw(rows, Axes(x="x", y="y"), tmp_path / "a.png") == [said]
    assert " ".join(drawn[0].get_supxlabel().split()) == said


def test_cases_of_no_line_are_counted(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{"x": 1, "y": 1, "by": by} for by in (1.0, math.nan, math.nan, math.inf)]
    notes = draw(rows, Axes(x="x", y="y", by="by"), tmp_path / "a.png")
    left_out = "not drawn: 3 whose by is not a finite number"
    assert notes == [f"1 of 4 cases is drawn; {left_out}"]
    assert len(drawn[0].axes[0].get_lines()) == 1


@pytest.mark.parametrize("band", ["sd", "sem", "iqr"])
def test_means_of_values_that_are_drawn_are_floats(tmp_path: Path, band: str) -> None:
    rows = [{"a": 1, "y": y, "replicate": r} for r, y in enumerate((1e300, -1e300, 1e300))]
    draw(rows, Axes(x="a", y="y", band=band), tmp_path / "a.png")


@pytest.mark.parametrize("kind", list(KINDS))
def test_values_near_the_limits_of_floats_are_counted_or_drawn(tmp_path: Path, kind: str) -> None:
    """A diverged run has them before it has infinities; matplotlib fails on them."""
    far = [1e308, -1.7e308, 5e-324, 10**400]
    values = [*far, 1e300, -1e300, 1e-300, 1.0, 0.0]
    rows = [{"a": n, "b": 1, "y": y} for n, y in enumerate(values)]
    notes = draw(rows, axes_of(kind, by="b"), tmp_path / "a.png", ["a"])
    assert notes[0].startswith(
        "5 of 9 cases are drawn; not drawn: 3 whose y is beyond 1e-300 or 1e"
    )
    assert notes[0].endswith(", 1 whose y is not a finite number")


def test_colours_of_decades_are_logarithmic(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{"x": x, "y": k, "k": 10.0**k} for x in (1, 2) for k in range(-6, 6)]
    draw(rows, Axes(x="x", y="y", by="k"), tmp_path / "a.png")
    _, scale = drawn[0].axes
    assert scale.get_yscale() == "log"
    to_rgb = import_module("matplotlib.colors").to_rgb
    colours = [to_rgb(line.get_color()) for line in drawn[0].axes[0].get_lines()]
    steps = [abs(after[1] - before[1]) for before, after in pairwise(colours)]
    assert min(steps) > 0.02  # on a linear scale all but one are the same


def test_colours_are_logarithmic_where_it_is_asked(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{"x": x, "y": k, "k": k} for x in (1, 2) for k in range(1, 4)]
    draw(rows, Axes(x="x", y="y", by="k", log=("by",)), tmp_path / "a.png")
    plane, scale = drawn[0].axes
    assert (scale.get_yscale(), plane.get_yscale()) == ("log", "linear")
    axes = Axes(x="x", y="y", by="k", log=("by",))
    for by in (0, "a"):
        with pytest.raises(InputError, match=r"k has (texts|values of 0 or less), which"):
            draw([*rows, {"x": 1, "y": 1, "k": by}], axes, tmp_path / "b.png")
    decades = [row | {"k": 10.0 ** row["k"] + i} for i, row in enumerate(rows * 4)]
    draw(decades, Axes(x="x", y="y", by="k", log=("none",)), tmp_path / "a.png")
    assert drawn[1].axes[1].get_yscale() == "linear"


def test_axes_of_decades_are_logarithmic_by_default(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{"x": 2**k, "y": 3.0**k} for k in range(14)]
    notes = draw(rows, Axes(x="x", y="y"), tmp_path / "a.png")
    assert notes[1:] == ["logarithmic: x and y; --log none draws it linear"]
    assert draw(rows, Axes(x="x", y="y", log=("none",)), tmp_path / "b.png")[1:] == []
    assert draw([*rows, {"x": 0, "y": -1}], Axes(x="x", y="y"), tmp_path / "c.png")[1:] == []
    scales = [(one.axes[0].get_xscale(), one.axes[0].get_yscale()) for one in drawn]
    assert scales == [("log", "log"), ("linear", "linear"), ("linear", "linear")]


def test_no_line_joins_cases_that_differ_in_more(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [{"x": x, "z": z, "n": 2 * x, "y": x} for x, z in enumerate((3, 1, 2, 5, 4))]
    notes = draw(rows, Axes(x="x", y="y"), tmp_path / "a.png", ["x", "z", "n"])
    assert notes[1:] == ["no lines: the points differ in z, too"]
    assert draw(rows, Axes(x="x", y="y"), tmp_path / "b.png", ["x", "n"])[1:] == []
    styles = [one.axes[0].get_lines()[0].get_linestyle() for one in drawn]
    assert styles == ["None", "-"]


def test_values_of_any_kind_have_a_place(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [
        {"x": x, "y": 1.0, "by": by}
        for by in (None, "$a$", True, "\x1b")
        for x in (1, "a", [1, 2], True, 2.5)
    ]
    notes = draw(rows, Axes(x="x", y="y", by="by"), tmp_path / "a.svg")
    assert notes == ["15 of 20 cases are drawn; not drawn: 5 without by"]
    plane = drawn[0].axes[0]
    assert [text.get_text() for text in plane.get_xticklabels()] == [
        "1",
        "2.5",
        "[1, 2]",
        "a",
        "true",
    ]
    assert {line.get_linestyle() for line in plane.get_lines()} == {"None"}
    legend = plane.get_legend()
    assert legend is not None
    assert [one.get_text() for one in legend.get_texts()] == [
        r"by = \x1b",
        r"by = \$a\$",
        "by = true",
    ]


def test_no_two_lines_look_alike(tmp_path: Path, drawn: list[Figure]) -> None:
    def lines_of(count: int) -> list[dict[str, Any]]:
        return [{"x": x, "y": k, "k": f"name {k}"} for x in (1, 2) for k in range(count)]

    assert draw(lines_of(64), Axes(x="x", y="y", by="k"), tmp_path / "a.png")[1:] == []
    looks = {(line.get_color(), line.get_marker()) for line in drawn[0].axes[0].get_lines()}
    assert len(looks) == 64
    notes = draw(lines_of(65), Axes(x="x", y="y", by="k"), tmp_path / "a.png")
    assert notes[1] == "more than 64 lines: colours and markers repeat"


# --- the kinds of figures -------------------------------------------------------------------------

CASES = [
    one | {"y": float(one["a"] * one["b"] + one["replicate"])}
    for one in grid(a=(1, 2, 5), b=(10, 20), replicate=(0, 1, 2))
    if (one["a"], one["b"]) != (5, 20)
]


def axes_of(kind: str, **more: Any) -> Axes:
    if "x" not in NEEDED[kind]:
        return Axes(kind=kind, y="y")
    if "y" in NEEDED[kind]:
        return Axes(kind=kind, x="a", y="y", **more)
    return Axes(kind=kind, x="y", **more)


def test_kinds_and_bands_are_those_of_the_command() -> None:
    choices = {option.name: getattr(option.type, "choices", ()) for option in command.params}
    assert tuple(choices["kind"]) == tuple(KINDS) == tuple(NEEDED) == tuple(SCALES)
    assert tuple(choices["band"]) == BANDS


def test_a_scatter_has_a_point_for_each_case(tmp_path: Path, drawn: list[Figure]) -> None:
    notes = draw(CASES, axes_of("scatter", by="b"), tmp_path / "a.png", ["a", "b"])
    assert notes == ["15 of 15 cases are drawn"]
    ten, twenty = drawn[0].axes[0].get_lines()
    assert np.asarray(ten.get_xdata()).tolist() == [1, 1, 1, 2, 2, 2, 5, 5, 5]
    assert np.asarray(twenty.get_ydata()).tolist() == [20, 21, 22, 40, 41, 42]
    assert {line.get_linestyle() for line in (ten, twenty)} == {"None"}


def test_heat_has_a_cell_for_each_pair(tmp_path: Path, drawn: list[Figure]) -> None:
    notes = draw(CASES, axes_of("heat", by="b"), tmp_path / "a.png", ["a", "b"])
    assert notes[1:] == [
        "averaged over replicate: 3 cases a cell",
        "grey: 1 of 6 cells has no case",
    ]
    plane, bar = drawn[0].axes
    (mesh,) = plane.collections
    cells = mesh.get_array()
    assert cells is not None
    assert np.ravel(cells).tolist() == [11, 21, 51, 21, 41, None]
    assert [text.get_text() for text in plane.get_xticklabels()] == ["1", "2", "5"]
    assert [text.get_text() for text in plane.get_yticklabels()] == ["10", "20"]
    assert (plane.get_xlabel(), plane.get_ylabel(), bar.get_ylabel()) == ("a", "b", "y")


def test_boxes_stand_beside_each_other(tmp_path: Path, drawn: list[Figure]) -> None:
    notes = draw(CASES, axes_of("box", by="b"), tmp_path / "a.png", ["a", "b"])
    assert notes[1] == "cases that differ in replicate: 3 cases a box"
    plane = drawn[0].axes[0]
    assert len(plane.patches) == 5
    medians = [line for line in plane.get_lines() if line.get_color() == "black"]
    heights = {height for line in medians for height in np.asarray(line.get_ydata()).tolist()}
    assert heights >= {11, 21, 51, 41}
    legend = plane.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["b = 10", "b = 20"]
    assert [text.get_text() for text in plane.get_xticklabels()] == ["1", "2", "5"]


def test_an_ecdf_ends_at_all_cases(tmp_path: Path, drawn: list[Figure]) -> None:
    notes = draw(CASES, axes_of("ecdf"), tmp_path / "a.png", ["a", "b"])
    assert notes[1:] == ["cases that differ in a, b, replicate: 15 cases a curve"]
    (curve,) = drawn[0].axes[0].get_lines()
    ends = [np.asarray(data).max() for data in (curve.get_xdata(), curve.get_ydata())]
    assert ends == [52.0, 1.0]
    assert drawn[0].axes[0].get_ylabel() == "share of cases"


@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [2.0, 2.0],
        [float(2**70)] * 3,  # floats of this size differ by more than 1
        [1.0, math.nextafter(1.0, 2)],
        [-3.0, 0.0, 1e300],
        [0.1 * 3**k for k in range(30)],  # logarithmic, and no end is a power of ten
        [float(row["y"]) for row in CASES],
    ],
)
def test_a_histogram_counts_every_case(
    tmp_path: Path, drawn: list[Figure], values: list[float]
) -> None:
    draw([{"y": value} for value in values], axes_of("hist"), tmp_path / "a.png")
    Rectangle = import_module("matplotlib.patches").Rectangle  # noqa: N806
    plane = drawn[0].axes[0]
    heights = [bar.get_bbox().height for bar in plane.patches if isinstance(bar, Rectangle)]
    assert sum(heights) == len(values)
    assert plane.get_ylabel() == "cases"


def test_characters_that_the_font_lacks_are_named(tmp_path: Path) -> None:
    rows = [{"x": f"\U00013000{n}\U00013001", "y": n} for n in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = draw(rows, Axes(x="x", y="y"), tmp_path / "a.png")
    assert notes[-1].startswith("the font has no \U00013000\U00013001: ")


@pytest.mark.parametrize("kind", list(NEEDED))
def test_every_kind_takes_one_case_and_long_texts(
    tmp_path: Path, drawn: list[Figure], kind: str
) -> None:
    text = "long $text$ " * 1000
    rows = [{"a": f"{n}{text}", "b": f"{n}{text}", "y": float(n)} for n in range(12)]
    for some in (rows[:2] if kind == "parallel" else rows[:1], rows):
        notes = draw(some, axes_of(kind, by="b"), tmp_path / "a.png", ["a", "b"])
        are = "case is" if len(some) == 1 else "cases are"
        assert notes[0] == f"{len(some)} of {len(some)} {are} drawn"
    labels = drawn[1].axes[0].get_xticklabels()
    assert max(len(label.get_text()) for label in labels) < 50


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "heat", "y": "y"}, "--kind heat needs --by COLUMN"),
        ({"kind": "line"}, "--kind line needs --y COLUMN"),
        ({"kind": "hist", "y": "y"}, "--kind hist has no --y"),
        ({"kind": "parallel", "y": "y"}, "--kind parallel has no --x: it has an axis for each"),
        ({"kind": "box", "y": "y", "log": ("x",)}, "--kind box has a place for each value of x"),
        ({"kind": "box", "y": "y", "band": "sd"}, "only --kind line has bands"),
    ],
)
def test_what_a_kind_has_no_place_for_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Axes(x="a", **given)


def test_more_boxes_than_can_be_seen_are_refused(tmp_path: Path) -> None:
    rows = [{"a": n, "y": 1.0} for n in range(401)]
    with pytest.raises(InputError, match="401 boxes are too many to be seen, at most 400"):
        draw(rows, axes_of("box"), tmp_path / "a.png")


def test_parallel_axes_have_a_line_for_each_case(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [row | {"c": 1, "name": f"n{row['b']}", "k": 10.0 ** row["a"]} for row in CASES]
    params = ["a", "b", "c", "k", "name"]
    notes = draw(rows, axes_of("parallel"), tmp_path / "a.png", params)
    assert notes[1:] == ["a line for each case, through its parameters; on top: the largest y"]
    plane, bar = drawn[0].axes
    (lines,) = plane.collections
    assert len(lines.get_paths()) == 15
    first, last = (np.asarray(lines.get_paths()[at].vertices) for at in (0, -1))
    assert last[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert first[:, 1].tolist() == pytest.approx([0, 0, 0, 0, 0])  # a = 1, b = 10
    assert last[:, 1].tolist() == pytest.approx([1, 0, 1, 0, 1])  # a = 5, b = 10
    assert np.ravel(np.asarray(lines.get_array())).tolist() == sorted(row["y"] for row in rows)
    labels = [text.get_text() for text in plane.get_xticklabels()]
    assert labels == ["a", "b", "k (log)", "name", "y"]
    assert bar.get_ylabel() == "y"


def test_ticks_tell_a_logarithmic_axis_from_a_linear_one(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    rows = [{"k": 10.0 ** (n / 4), "n": 3 * n, "y": 10.0 ** (-n / 4)} for n in range(17)]
    draw(rows, axes_of("parallel"), tmp_path / "a.png", ["k", "n"])
    linear_axes = Axes(kind="parallel", y="y", log=("none",))
    draw(rows, linear_axes, tmp_path / "a.png", ["k", "n"])
    draw([rows[0], rows[1], rows[16]], axes_of("parallel"), tmp_path / "a.png", ["n"])
    logarithmic, linear, few = (_ticks(figure) for figure in drawn)
    assert logarithmic["k"] == [(0, "1"), (0.25, "10"), (0.5, "100"), (0.75, "1000"), (1, "10000")]
    assert logarithmic["n"] == [
        (0, "0"),
        (0.208, "10"),
        (0.417, "20"),
        (0.625, "30"),
        (0.833, "40"),
    ]
    assert (logarithmic["y"][0][1], linear["y"][0][1]) == ("0.0001", "0.2")
    assert linear["k"][1:3] == [(0.4, "4000"), (0.6, "6000")]
    assert [text for _, text in few["n"]] == ["0", "3", "48"]


def _ticks(figure: Figure) -> dict[str, list[tuple[float, str]]]:
    """Height and text of the ticks of each axis of a parallel figure."""
    plane = figure.axes[0]
    names = [label.get_text().removesuffix(" (log)") for label in plane.get_xticklabels()]
    ticks: dict[str, list[tuple[float, str]]] = {name: [] for name in names}
    for text in plane.texts:
        x, y = text.get_position()
        ticks[names[round(x)]].append((round(float(y), 3), text.get_text().strip()))
    return ticks


@pytest.mark.parametrize(("params", "count"), [([], 0), ([f"p{n}" for n in range(13)], 13)])
def test_no_axis_or_too_many_are_refused(tmp_path: Path, params: list[str], count: int) -> None:
    rows = [{"y": 1.0} | dict.fromkeys(params, n) for n in range(3)]
    with pytest.raises(InputError, match=f"{count} parameters differ between the cases"):
        draw(rows, axes_of("parallel"), tmp_path / "a.png", params)
