"""Tables on a terminal: whole or by name, at any width."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hpcsweep.cli.render.layout import LayoutColumn, StyledLine, cleaned, facts, fitting, lines

NUMBERS = LayoutColumn(name="energy", cells=["6.30402e-06", "1.2608e-05"], right=True)
STATUS = LayoutColumn(name="status", cells=["complete", "failed"])
ERROR = LayoutColumn(
    name="error", cells=["", "a message that goes on for quite a while"], may_be_cut=True
)


def shown(columns: list[LayoutColumn], width: int) -> list[str]:
    return plain(lines(fitting(columns, width), width))


def plain(styled: Iterable[StyledLine]) -> list[str]:
    """The lines without their styles."""
    return ["".join(text for text, _ in line) for line in styled]


@pytest.mark.parametrize(
    ("width", "table"),
    [
        (
            80,
            [
                "     energy  status    error",
                "6.30402e-06  complete",
                " 1.2608e-05  failed    a message that goes on for quite a while",
            ],
        ),
        (
            50,
            [
                "     energy  status    error",
                "6.30402e-06  complete",
                " 1.2608e-05  failed    a message that goes on for…",
            ],
        ),
        (40, ["     energy  status", "6.30402e-06  complete", " 1.2608e-05  failed"]),
        (20, ["     energy", "6.30402e-06", " 1.2608e-05"]),
        (5, ["     energy", "6.30402e-06", " 1.2608e-05"]),
    ],
)
def test_a_column_that_does_not_fit_is_left_out_completely(width: int, table: list[str]) -> None:
    assert shown([NUMBERS, STATUS, ERROR], width) == table


def test_a_narrow_column_takes_the_room_of_a_wide_one() -> None:
    wide = LayoutColumn(name="sequence", cells=["G" * 60])
    chosen = fitting([STATUS, wide, LayoutColumn(name="n", cells=["12"])], 40)
    assert [one.name for one in chosen] == ["status", "n"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.lists(
        st.tuples(texts, st.lists(texts, min_size=2, max_size=2), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 130),
)
def test_no_line_is_wider_than_the_terminal(
    made: list[tuple[str, list[str], bool]], width: int
) -> None:
    columns = [
        cleaned(LayoutColumn(name=name, cells=cells, may_be_cut=cut)) for name, cells, cut in made
    ]
    chosen = fitting(columns, width)
    printed = plain(lines(chosen, width))
    if len(chosen) > 1:
        assert max(map(cell_len, printed)) <= width
    for at, line in enumerate(printed[1:]):
        for column in chosen:
            if not column.may_be_cut:
                assert column.cells[at].rstrip() in line
    assert all(
        cell.isprintable() or "\\" not in ascii(cell)
        for line in printed
        for cell in line
        if ord(cell) < 0xA0
    )


def test_facts_wrap_at_words_and_cut_nothing() -> None:
    path = "/a/path/that/is/longer/than/any/terminal/of/its/time/and/is/to/be/copied"
    rows = [[("host", ""), ("ok", "green"), (f"see {path} for\nmore of it", "")]]
    assert plain(facts(rows, 40)) == [
        "host  ok  see",
        f"          {path}",
        "          for",
        "          more of it",
    ]
    assert plain(facts(rows, 25)) == [
        "host  ok",
        "    see",
        f"    {path}",
        "    for",
        "    more of it",
    ]
    assert list(facts([], 40)) == []
