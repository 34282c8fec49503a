"""Conditions mean the same on every database; and the same bytes of CSV come from each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcsweep.conditions.syntax import DEPTH_MAX
from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex
from hpcsweep.tables.sql_columns import SqlColumn, among_column, stale_column
from hpcsweep.tables.where import parse
from tests.support.backends import Backend, backend
from tests.support.postgres import database, postgres
from tests.support.rows import MANIFEST, batch

__all__ = ["backend", "database", "postgres"]

# A value of each kind, and those that a database may take for each other.
VALUES: list[Any] = [
    0,
    1,
    1.0,
    1.5,
    -2,
    1e16,
    10**18,
    1e300,
    True,
    False,
    None,
    "1",
    "",
    "a",
    "B",
    "b",
    "ä",
    "true",
    [1],
    {"y": 1},
    "NUL \0",
]
FIELDS = {
    "x": SqlColumn("params", ("x",)),
    "mixed": SqlColumn("params", ("x",), holds_mappings=True),
    "mixed loss": SqlColumn("metrics", ("loss",), holds_mappings=True),
    "n.a": SqlColumn("metrics", ("n", "a")),
    "odd": SqlColumn("metrics", ("o'd $.d",)),
    "loss": SqlColumn("metrics", ("loss",)),
    "quoted loss": SqlColumn("metrics", ('"', "loss")),
    "quoted": SqlColumn("metrics", ("deep", 'a"b', "c\\d\n")),
    "absent": SqlColumn("metrics", ("absent",)),
    "index": SqlColumn("idx"),
    "status": SqlColumn("status"),
    "host": SqlColumn("host"),
    "wall_seconds": SqlColumn("wall_seconds"),
    "lambda": SqlColumn("wall_seconds"),
    "run.class": SqlColumn("wall_seconds"),
    "µ": SqlColumn("wall_seconds"),
    "a b-c": SqlColumn("wall_seconds"),
    "stale": stale_column("today"),
}
# A metric of the first cases; JSON lacks three of these numbers.
LOSSES = [{"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}, 1.5, None, "inf"]
CONDITIONS: list[tuple[str, list[int]]] = [
    ("x == 1", [1, 2]),
    ("x == 1.0", [1, 2]),
    ("x != 1", [0, *range(3, 21)]),
    ("x < 1.5", [0, 1, 2, 4]),
    ("1 < x <= 1e16", [3, 5]),
    ("x > 100000000000000000", [6, 7]),
    ("x == True", [8]),
    ("x != True", [i for i in range(21) if i != 8]),
    ("x == None", [10]),
    ("x != None", [i for i in range(21) if i != 10]),
    ("x == '1'", [11]),
    ("x < 'a'", [11, 12, 14, 20]),
    ("x >= 'b'", [15, 16, 17]),
    ("x == 'NUL '", []),
    ("x > 'NUL '", [13, 15, 16, 17, 20]),
    ("x in [0, 'ä', False]", [0, 9, 16]),
    ("x in [1.5, 1, 'a', None, 1e300, 1e16, 2.5]", [1, 2, 3, 5, 7, 10, 13]),
    ("host in ['n3', 'x', 4] or index in [2, 2.5, 'n1']", [2, 9]),
    ("loss in [1.5, 1e999, 'inf']", [1, 3, 5]),
    ("`quoted loss` in [-1e999] or quoted in [1.5]", [2, 3]),
    ("wall_seconds in [3, 4.5] or host in [None, 1]", [3, 6]),
    ("abs(x) in [2, 1.5, 'a'] or index in []", [3, 4]),
    ("status in ['failed', True]", [5]),
    ("x not in [0, 'ä', False]", [i for i in range(21) if i not in (0, 9, 16)]),
    ("not x == 1", [0, *range(3, 21)]),
    ("n.a == 7 and x == 1", [1]),
    ("n.a == 20", [20]),
    ("odd == 'q'", [3]),
    ("absent == None", list(range(21))),
    ("absent == 1 or index == 4", [4]),
    ("index < 3 and not index == 1", [0, 2]),
    ("status == 'failed'", [5]),
    ("host == None", [6]),
    ("host != None and index < 8", [0, 1, 2, 3, 4, 5, 7]),
    ("host < 'n2'", [i for i in range(21) if i not in (6, 9)]),
    ("host == 1", []),
    ("host != 1", [i for i in range(21) if i != 6]),
    ("wall_seconds > 19.5", [20]),
    ("wall_seconds == 'x'", []),
    # True is not 1, and a number has no order beside it.
    ("wall_seconds == True or index == False or index < True", []),
    ("wall_seconds in [True, 3] or index in [False]", [3]),
    ("index != True and index < 3", [0, 1, 2]),
    # A mapping has columns of its own, so the column above them is empty.
    ("mixed == None", [10, 19]),
    ("mixed != None and mixed != 1 and index > 17", [18, 20]),
    ("mixed != index and index > 17", [18, 20]),
    ("mixed not in [None] and index > 17", [18, 20]),
    ("isnan(`mixed loss`) or `mixed loss` > 1", [0, 1, 3]),
    ("quoted == 1.5", [3]),
    ("quoted > 1 and quoted != 'x'", [3]),
    ("quoted == '1.5'", []),
    ("quoted == None and index < 5", [0, 1, 2, 4]),
    # NaN has no order and equals nothing; infinities are beyond all numbers.
    ("loss > 1", [1, 3]),
    ("loss < 1e300", [2, 3]),
    ("loss < -1e300", [2]),
    ("loss < 1e999", [2, 3]),
    ("loss <= 1.5", [2, 3]),
    ("loss >= 1.5", [1, 3]),
    ("loss != 1.5", [0, 1, 2, 4, 5]),
    ("loss != loss", [0, 4]),
    ("loss == 1e999", [1]),
    ("loss == -1e999 or loss == 'inf'", [2, 5]),
    ("loss == None and index < 5", [4]),
    ("loss * 2 > 2", [1, 3]),
    ("not loss < 2 and index < 6", [0, 1, 4, 5]),
    ("`quoted loss` > 1", [1, 3]),
    ("isnan(loss)", [0]),
    ("isnan(`quoted loss`) or isfinite(`quoted loss`)", [0, 3]),
    ("isfinite(loss)", [3]),
    ("not isfinite(loss) and index < 7", [0, 1, 2, 4, 5, 6]),
    ("abs(loss) > 1", [1, 2, 3]),
    ("abs(x) * 2 == 4", [4]),
    # Of a text there is no such number.
    ("abs(host) != index or abs(x) != wall_seconds and index > 7", []),
    ("abs(x - 2) <= 1", [1, 2, 3]),
    ("isfinite(x) and isfinite(index) and isfinite(wall_seconds)", [0, 1, 2, 3, 4, 5, 6, 7]),
    ("isnan(x) or isnan(index) or isfinite(host) or isfinite(stale)", []),
    # Between columns, and with arithmetic.
    ("index == wall_seconds", list(range(21))),
    ("index < wall_seconds", []),
    ("x == n.a", [0]),
    ("x != n.a and index < 3", [1, 2]),
    ("x < host", [11, 12, 13, 14, 15, 20]),
    ("host == status", []),
    ("host != status and index < 8", [0, 1, 2, 3, 4, 5, 7]),
    ("stale == x", [8, 9]),
    ("x * 2 == 2", [1, 2]),
    ("x + index < 4 and -x <= 2", [0, 1, 2, 4]),
    ("1 / x < 0", [4]),
    ("1 < 3 / x and absent == None and x / x == 1", [1, 2, 3]),
    ("x / 0 == 1 or x % 0 != 1", []),
    ("x % 3 == 1 and x < 100", [1, 2, 4]),
    ("index % 3 == 1 and index < 9", [1, 4, 7]),
    ("host + 1 == 1 or absent - 1 < 0", []),
    ("x + 1 in [2, 2.5]", [1, 2, 3]),
    # Beyond 64 bits.
    ("x < 99999999999999999999 and x > -99999999999999999999", [0, 1, 2, 3, 4, 5, 6]),
    ("x > 99999999999999999999", [7]),
    (f"x < 1{'0' * 400} and x > 1", [3, 5, 6, 7]),
    ("index > 99999999999999999999", []),
    ("wall_seconds < 99999999999999999999 and wall_seconds > 19", [20]),
    # Names that Python takes for something else.
    ("lambda > 19", [20]),
    ("not lambda <= 18 and host != 'lambda'", [19, 20]),
    ("run.class > 19", [20]),
    ("µ > 19", [20]),
    ("`a b-c` > 19 and `lambda` > 18", [20]),
    ("x == 'lambda' or x == '`a b-c`'", []),
    # Whether a case is of other code: 5 failed, 7 is of today's.
    ("stale", [8]),
    ("stale == True or stale and x == 0", [8]),
    ("not stale and index > 6 and index < 10", [7, 9]),
    ("stale != True and index < 2", [0, 1]),
    ("stale in [True, 3]", [8]),
    ("stale == None or stale == 1", []),
]


@pytest.fixture
def sweep_index(backend: Backend) -> SweepIndex:
    """One case for each value."""
    found = backend.sweep_index()
    found.create("s", MANIFEST)
    rows: list[dict[str, Any]] = []
    for index, value in enumerate(VALUES):
        losses = {"loss": LOSSES[index]} if index < len(LOSSES) else {}
        metrics = {"n": {"a": 7 if index == 1 else index}, **losses, '"': losses} | (
            {"o'd $.d": "q", "deep": {'a"b': {"c\\d\n": 1.5}}} if index == 3 else {}
        )
        rows.append(
            {
                "case_id": f"{index:016x}",
                "rank": "r",
                "reason": None,
                "tags": "[]",
                "params": json.dumps({"x": value}, ensure_ascii=False),
                "error": None,
                "metrics": json.dumps(metrics),
                "status": "failed" if index == 5 else "complete",
                "seed": "0",
                "replicate": 0,
                "generation": 0,
                "submission": 1,
                "chunk": 0,
                "restart": 0,
                "token": "a",
                "started": None,
                "ended": None,
                "wall_seconds": float(index),
                "cpu_seconds": None,
                "max_rss_bytes": None,
                "host": {6: None, 9: "n3"}.get(index, "n1"),
                "job_id": None,
                "run_dir": None,
                "code_digest": {5: "older", 7: "today", 8: "older"}.get(index),
                "task_id": None,
            }
        )
    assert found.merge(batch(*rows))
    return found


def test_conditions_mean_the_same_everywhere(sweep_index: SweepIndex) -> None:
    found = {
        text: [
            row["idx"] for row in sweep_index.rows(where=parse(text, FIELDS, sweep_index.dialect))
        ]
        for text, _ in CONDITIONS
    }
    assert found == dict(CONDITIONS)


def test_a_condition_may_have_thousands_of_values(sweep_index: SweepIndex) -> None:
    texts = [f"sample {i}" for i in range(5000)] + ["a", "ä"]
    numbers = [i + 0.5 for i in range(3000)] + [4, 6]
    found = {
        text: list(sweep_index.indices(parse(text, FIELDS, sweep_index.dialect)))
        for text in (
            f"x in {texts}",
            f"x in {numbers}",
            " or ".join(f"index == {i}" for i in range(18, 2018)),
            " or ".join(f"loss == {i}.5" for i in range(2000)),
            " and ".join(f"x != {i}.5" for i in range(1, 200)) + " and index < 5",
        )
    }
    assert list(found.values()) == [[13, 16], [3], [18, 19, 20], [3], [0, 1, 2, 4]]


@pytest.mark.parametrize(
    "text",
    ["x == 'a\\0'", "'\\0' != host", "x < host or x in [1, 'NUL \\0']", "index == '\\0'"],
)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_condition_on_a_null_character_is_a_sentence(text: str, dialect: str) -> None:
    with pytest.raises(InputError, match="has a null character, which a database cannot look for"):
        parse(text, FIELDS, dialect)


def test_a_condition_with_too_many_comparisons_is_a_sentence() -> None:
    with pytest.raises(InputError, match=r"1001 comparisons; at most 1000[\s\S]*x in \[1, 2\]"):
        parse(" or ".join(f"x > {i}" for i in range(1001)), FIELDS, "sqlite")
    with pytest.raises(InputError, match="10001 numbers that are not whole"):
        parse(f"x in {[i + 0.5 for i in range(10_001)]}", FIELDS, "sqlite")
    with pytest.raises(InputError, match="more than 3 operators %"):
        parse("x % 9 % 8 % 7 % 6 > 0", FIELDS, "sqlite")


@pytest.mark.parametrize(
    "text",
    [
        f"x{' + 1' * 200} > 0",
        f"{'not ' * 60}stale",
        f"{'abs(' * 80}x{')' * 80} > 0",
        f"x{' + 1' * 9000} > 0",
    ],
)
def test_a_condition_that_is_nested_too_deeply_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match="nested too deeply"):
        parse(text, FIELDS, "sqlite")


def test_the_deepest_condition_is_evaluated(sweep_index: SweepIndex) -> None:
    n, in_row = DEPTH_MAX - 2, 3 * (DEPTH_MAX - 2)
    found = [
        list(sweep_index.indices(parse(text, FIELDS, sweep_index.dialect)))
        for text in (
            f"index{' + 1' * in_row} == {in_row + 2} and loss{' + 1' * in_row} < 0",
            f"{'1 + (' * n}index{')' * n} == {n + 2} and index % 7 % 5 % 3 == 2",
            f"{'not ' * n}loss == 1.5",
            f"{'not (x == 2 and ' * (n // 2)}loss == 1.5{')' * (n // 2)} and index < 1",
            f"{'abs(' * n}x{')' * n} == 2",
        )
    ]
    assert found == [[2], [2], [i for i in range(21) if i != 3], [0], [4]]


def test_a_condition_on_a_set_of_indices(sweep_index: SweepIndex) -> None:
    """Thousands of ranges, as where every other case has changed inputs, are one variable."""
    changed = IndexSet.of(range(1, 20_000, 2))
    fields = FIELDS | {"changed": among_column(changed, sweep_index.dialect)}

    def indices(text: str) -> list[int]:
        return list(sweep_index.indices(parse(text, fields, sweep_index.dialect)))

    assert indices("changed and index < 6") == [1, 3, 5]
    assert indices("not changed and index < 6") == [0, 2, 4]
    none = FIELDS | {"changed": among_column(IndexSet(), sweep_index.dialect)}
    assert not sweep_index.indices(parse("changed", none, sweep_index.dialect))
