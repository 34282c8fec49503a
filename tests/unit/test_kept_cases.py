"""Cases that are kept in columns are what they were, and so are keys beside them."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from hpcsweep.tables.kept_cases import KeptCases, KeysBeside

NAN = float("nan")


@pytest.mark.parametrize(
    "batches",
    [
        [],
        [[]],
        [[(1, (0, "complete", 0.5, 3)), (2, (1, "failed", None, None))]],
        [[(1, (0, "complete", 0.5, 3))], [], [(2, (1, "complete", 1, 2**63))]],
        [[(1, (0, "complete", 2**63, NAN))], [(2, (1, "complete", 3, 0.25))]],
        [
            [(1, (0, "complete", 1, True))],
            [(2, (1, "complete", 2, 1))],
            [(3, (2, "running", 7, []))],
        ],
        [[((1, "x"), (5, "complete", "text", 1.0))], [((1, "y"), (6, "complete", 0.5, -1.0))]],
    ],
)
def test_cases_are_what_they_were(batches: list[list[tuple[Any, Any]]]) -> None:
    kept = KeptCases(batches)
    cases = dict(pair for batch in batches for pair in batch)
    assert repr({key: kept.get(key) for key in kept.positions}) == repr(cases)
    assert kept.get("none") is None


def test_numbers_of_one_type_are_no_objects() -> None:
    kept = KeptCases([[(number, (number, "complete", number / 2))] for number in range(3)])
    kinds = [type(column.values) for column in kept._columns]  # noqa: SLF001
    assert kinds == [array, list, array]


def test_keys_beside_kept_cases_are_those_of_a_dict() -> None:
    kept = KeptCases([[(1, (0, "complete")), (2, (1, "complete")), (None, (2, "failed"))]])
    beside, keys = KeysBeside(kept), dict[Any, Any]()
    for key in (2, 7, 2, None, 8, 7, 1, None):
        assert beside.setdefault(key, key) == keys.setdefault(key, key)
        assert len(beside) == len(keys)
