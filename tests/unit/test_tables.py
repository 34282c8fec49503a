"""Tables on a terminal: whole or by name, at any width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hpcsweep.cli.render.layout import (
    CELL_LINES,
    LayoutColumn,
    StyledLine,
    cleaned,
    facts,
    fitting,
    lines,
)

NUMBERS = LayoutColumn(name="energy", cells=["6.30402e-06", "1.2608e-05"], right=True)
STATUS = LayoutColumn(name="status", cells=["complete", "failed"])
ERROR = LayoutColumn(
    name="error", cells=["", "a message that goes on for quite a while"], may_wrap=True
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
                " 1.2608e-05  failed    a message that goes on for",
                "                       quite a while",
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
        cleaned(LayoutColumn(name=name, cells=cells, may_wrap=wraps)) for name, cells, wraps in made
    ]
    chosen = fitting(columns, width)
    printed = plain(lines(chosen, width))
    if len(chosen) > 1:
        assert max(map(cell_len, printed)) <= width
    text = "".join(printed[1:])
    for column in chosen:
        for cell in column.cells:
            if not column.may_wrap:
                assert any(cell.rstrip() in line for line in printed[1:])
            elif "…" not in text:  # of a cell with too many lines
                assert squeezed(cell) <= squeezed(text)
    assert all(
        cell.isprintable() or "\\" not in ascii(cell)
        for line in printed
        for cell in line
        if ord(cell) < 0xA0
    )


def squeezed(text: str) -> Counter[str]:
    """How often a text has each character, spaces left out."""
    return Counter("".join(text.split()))


WRAPPED = [
    LayoutColumn(name="n", cells=["7", "8"], right=True),
    LayoutColumn(name="short", cells=["a text of 23 characters", ""], may_wrap=True),
    LayoutColumn(name="long", cells=["word " * 30 + "end", "x" * 45], may_wrap=True),
]


def test_the_widest_texts_are_wrapped() -> None:
    """The narrower one is whole; a word that is longer than its column is broken."""
    assert shown(WRAPPED, 60) == [
        "n  short                    long",
        "7  a text of 23 characters  word word word word word word",
        "                            word word word word word word",
        "                            word word word word word word",
        "                            word word word word word word",
        "                            word word word word word word",
        "                            end",
        f"8                           {'x' * 32}",
        f"                            {'x' * 13}",
    ]


def test_a_cell_of_many_lines_ends_with_an_ellipsis() -> None:
    column = LayoutColumn(name="error", cells=["word " * 99], may_wrap=True)
    printed = shown([column], 24)
    assert len(printed) == 1 + CELL_LINES
    assert printed[-1] == "word word word word wor…"


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
