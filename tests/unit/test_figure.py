"""A figure of a sweep: the points that are drawn, and what cannot be drawn."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from hpcsweep.errors import ExtraMissing, InputError, SweepError
from hpcsweep.figure import Axes, draw, lines

ROWS: list[dict[str, Any]] = [
    {"x": x, "k": k, "y": x * k + r} for k in (2.0, 1.0) for x in (10, 2) for r in (0, 1)
]


def test_points_are_grouped_and_in_order() -> None:
    found = lines([*ROWS, {"x": 5, "k": 1.0}, {"y": 1, "k": 1.0}], Axes(x="x", y="y", by="k"))
    assert found == {1.0: {2: [2.0, 3.0], 10: [10.0, 11.0]}, 2.0: {2: [4.0, 5.0], 10: [20.0, 21.0]}}
    assert list(found) == [1.0, 2.0]
    assert list(found[1.0]) == [2, 10]
    assert list(lines(ROWS, Axes(x="x", y="y"))) == ["None"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    real = Figure.savefig

    def save(figure: Figure, *args: Any, **how: Any) -> None:
        figures.append(figure)
        real(figure, *args, **how)

    monkeypatch.setattr(Figure, "savefig", save)
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
    assert list(first.get_ydata()) == [2.5, 10.5]
    assert first.get_color() != second.get_color()
    assert len(plane.collections) == 2  # the bands


def test_no_legend_lies_on_the_lines(tmp_path: Path, drawn: list[Figure]) -> None:
    draw(ROWS, Axes(x="x", y="y", by="k"), tmp_path / "a.png")
    (plane,) = drawn[0].axes
    legend = plane.get_legend()
    assert legend is not None
    assert legend.get_window_extent().x0 >= plane.get_window_extent().x1


@pytest.mark.parametrize(("last", "label"), [(30, "20"), (3, "2.5"), (1.2, "1.1")])
def test_few_decades_have_numbers(
    tmp_path: Path, drawn: list[Figure], last: float, label: str
) -> None:
    rows = [{"x": 1, "y": 1}, {"x": 2, "y": last}]
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
    before = dict(mpl.rcParams)
    draw(ROWS, Axes(x="x", y="y"), tmp_path / "a.png")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("rows", "axes", "name", "message"),
    [
        ([], Axes(x="x", y="y", by="k"), "a.png", "no complete case has x and y and k"),
        ([{"x": 1, "y": "high"}], Axes(x="x", y="y"), "a.png", "y is no number: 'high'"),
        ([{"x": 0, "y": 1}], Axes(x="x", y="y", log=("x",)), "a.png", "x has values that are not"),
        ([{"x": 1, "y": -1}], Axes(x="x", y="y", log=("y",)), "a.png", "y has values that are"),
        ([{"x": 1, "y": 1}], Axes(x="x", y="y"), "a.gif", "is no .png, .pdf, .svg"),
    ],
)
def test_what_cannot_be_drawn(
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
        patch.setattr(Figure, "savefig", full)
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
