"""Rows as the text that PostgreSQL's `COPY` reads."""

from __future__ import annotations

from typing import Any

from hpcsweep.store.copying import copy_lines


def copy_text(rows: list[tuple[Any, ...]]) -> str:
    return "".join(copy_lines(list(zip(*rows, strict=True))))


def test_the_text_of_rows() -> None:
    rows = [
        ("a", None, 1, 0.1, "x", None),
        ("b\\n", None, 2**62, 1e-05, None, 5),
        ("\t\n\r", None, -3, 1e22, "\\N", None),
    ]
    assert copy_text(rows) == (
        "a\t\\N\t1\t0.1\tx\t\\N\n"
        "b\\\\n\t\\N\t4611686018427387904\t1e-05\t\\N\t5\n"
        "\\t\\n\\r\t\\N\t-3\t1e+22\t\\\\N\t\\N\n"
    )


def test_no_rows() -> None:
    assert copy_text([]) == ""


def test_values_that_are_equal_keep_their_own_texts() -> None:
    rows = [(1, 0.0, True, "a", None), (1.0, -0.0, 1, "a", None), (1, 0.0, 1, "a", None)]
    assert copy_text(rows) == "1\t0.0\tTrue\ta\t\\N\n1.0\t-0.0\t1\ta\t\\N\n1\t0.0\t1\ta\t\\N\n"


def test_one_value_in_all_rows_is_escaped() -> None:
    assert copy_text([("a\tb", "\\N", 2, None)] * 2) == "a\\tb\t\\\\N\t2\t\\N\n" * 2
