"""Means over cases, and pivots: of complete cases, with what is left out said."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.cli.render.rows import print_table
from hpcsweep.errors import InputError
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.store.column_kinds import ColumnKinds, Kinds
from hpcsweep.sweep import Sweep
from hpcsweep.tables.collect import collect
from hpcsweep.tables.columns import TableColumns, TableRow, all_columns
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.reshaping import reshaped
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.shape import STATS, Shape
from hpcsweep.tables.statistics import statistics_of
from tests.support.sweeps import MadeSweep

COLUMNS = all_columns(
    ColumnKinds(
        params={("omega",): "float", ("dt",): "float", ("flag",): "json"},
        metrics={("energy",): "float", ("steps",): "int", ("label",): "str"},
        carried={},
    )
)


def case(omega: Any, dt: Any, energy: float | None, replicate: int = 0, **more: Any) -> TableRow:
    row = {"status": "complete", "replicate": replicate, "omega": omega, "dt": dt, **more}
    return row if energy is None else row | {"energy": energy}


ROWS = [
    case(2.0, 0.1, 1.0, steps=1),
    case(2.0, 0.1, 3.0, replicate=1, steps=2),
    case(1.0, 0.1, 5.0, label="text"),
    case(1.0, 0.1, None, replicate=1),
    case(10.0, 0.01, 7.0),
    case(1.0, 0.01, 9.0) | {"status": "failed"},
    {"status": "pending", "omega": 1.0, "dt": 0.01, "replicate": 1},
]


def shaped(
    rows: list[TableRow], *names: str, columns: TableColumns = COLUMNS, **shape: Any
) -> tuple[list[str], list[TableRow], list[str]]:
    """The names of columns, the rows, and what was said."""
    said: list[str] = []
    table, made = reshaped(columns, rows, Shape(**shape), names, said.append)
    return (
        table.names,
        [{name: row[name] for name in table.names if name in row} for row in made],
        said,
    )


def test_means_over_replicates() -> None:
    names, rows, said = shaped(ROWS, mean_over=("replicate",))
    assert names[:6] == ["dt", "flag", "omega", "energy_mean", "energy_sd", "energy_n"]
    assert not any(name.startswith("label") for name in names)  # no numbers
    first, second, third = rows
    assert (first["omega"], first["dt"]) == (2.0, 0.1)
    assert (first["energy_mean"], first["energy_sd"], first["energy_n"]) == (2.0, math.sqrt(2), 2)
    assert (first["steps_mean"], first["steps_n"]) == (1.5, 2)
    assert (second["energy_mean"], second["energy_n"]) == (5.0, 1)
    assert "energy_sd" not in second  # of one value there is none
    assert (second["steps_n"], "steps_mean" in second) == (0, False)
    assert third["omega"] == 10.0
    assert said == [
        "means over cases that differ in replicate",
        "not in the means: 1 failed, 1 pending",
    ]


def test_a_metric_with_other_values_than_numbers_has_no_means() -> None:
    """It is named; integers beyond 64 bits are numbers, of which the index does not tell."""
    metrics = ("energy", "big", "list", "huge")
    kinds: Kinds = {(name,): "json" for name in (*metrics, "empty")}
    columns = all_columns(ColumnKinds(params={("x",): "int"}, metrics=kinds, carried={}))
    values = [(1.5, 2**70, [1, 2], 10**400), ("n/a", 2**70, [3, 4], 1)]
    rows = [
        {"status": "complete", "replicate": n, "x": 1, **dict(zip(metrics, row, strict=True))}
        for n, row in enumerate(values)
    ]
    names, made, said = shaped(rows, columns=columns, mean_over=("replicate",))
    assert names == ["x", "big_mean", "big_sd", "big_n", *names[4:]]
    assert names[4] == "wall_seconds_mean"
    made = [{name: row[name] for name in names[:4]} for row in made]
    assert made == [{"x": 1, "big_mean": float(2**70), "big_sd": 0.0, "big_n": 2}]
    assert said[1] == "no means of energy: 'n/a' is not a number"
    assert said[2].startswith("no means of huge: 1000")
    assert said[2].endswith("... is beyond floats")
    assert said[3:] == ["no means of list: [1, 2] is not a number"]
    with pytest.raises(InputError, match=r"huge has no means: 1000+\.\.\. is beyond floats"):
        shaped(rows, "huge_mean", columns=columns, group_by=("x", "replicate"))
    for shape in ({}, {"pivot": "x,replicate:energy"}):
        with pytest.raises(InputError, match="energy has no means: 'n/a' is not a number"):
            shaped(
                rows,
                *([] if shape else ["energy_mean"]),
                columns=columns,
                group_by=("x", "replicate"),
                **shape,
            )


def test_groups_by_some_columns_name_what_they_put_together() -> None:
    names, rows, said = shaped(
        ROWS, "dt", "energy_max", "energy_q1", group_by=("dt",), stats=("q1", "max")
    )
    assert names == ["dt", "energy_max", "energy_q1"]
    assert rows == [
        {"dt": 0.1, "energy_max": 5.0, "energy_q1": 2.0},
        {"dt": 0.01, "energy_max": 7.0, "energy_q1": 7.0},
    ]
    assert said[0] == "means over cases that differ in omega, replicate"


def test_all_cases_may_be_one_group() -> None:
    _, rows, _ = shaped(
        ROWS, "energy_mean", "energy_n", mean_over=("replicate", "omega", "dt", "flag")
    )
    assert rows == [{"energy_mean": 4.0, "energy_n": 4}]


def test_of_no_complete_case_there_is_no_group() -> None:
    assert shaped(ROWS[5:], mean_over=("replicate",))[1] == []
    assert shaped([], pivot="omega,dt:energy")[1] == []


def test_keys_are_distinguished_as_cases_are() -> None:
    """1 and 1.0 are one value, True, null, a text and a missing one are others."""
    flags: list[dict[str, Any]] = [
        *({"flag": value} for value in (1, 1.0, True, "1", None, [1], [1])),
        {},
    ]
    rows = [case(1.0, 0.1, 1.0, **flag) for flag in flags]
    _, made, _ = shaped(rows, "flag", "energy_n", mean_over=("replicate",))
    assert made == [
        {"flag": 1, "energy_n": 2},
        {"flag": True, "energy_n": 1},
        {"flag": "1", "energy_n": 1},
        {"flag": None, "energy_n": 1},
        {"flag": [1], "energy_n": 2},
        {"energy_n": 1},
    ]
    assert type(made[1]["flag"]) is bool


values = st.lists(
    st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6, allow_subnormal=False)), max_size=40
)


@given(values)
def test_statistics_are_those_of_numpy(numbers: list[tuple[int, float]]) -> None:
    group = np.array([of for of, _ in numbers], dtype=np.int64)
    made = statistics_of(group, np.array([value for _, value in numbers], dtype=float), 4, STATS)
    for number in range(4):
        own = [value for of, value in numbers if of == number]
        computed = {name: made[name][number] for name in STATS}
        assert computed.pop("n") == len(own)
        if not own:
            assert set(computed.values()) == {None}
            continue
        spread = computed.pop("sd")
        assert (spread is None) == (len(own) < 2)
        if spread is not None:
            assert spread == pytest.approx(statistics.stdev(own), rel=1e-9, abs=1e-9)
        expected = {
            "mean": statistics.fmean(own),
            "median": np.quantile(own, 0.5),
            "q1": np.quantile(own, 0.25),
            "q3": np.quantile(own, 0.75),
            "min": min(own),
            "max": max(own),
        }
        assert computed == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_statistics_of_numbers_that_are_none_or_infinite() -> None:
    group = np.array([0, 0, 1, 1])
    made = statistics_of(group, np.array([1.0, math.nan, 1.0, math.inf]), 2, STATS)
    assert [made[name][1] for name in ("mean", "max", "min", "n")] == [math.inf, math.inf, 1.0, 2]
    assert made["n"][0] == 2
    assert all(math.isnan(made[name][0]) for name in STATS if name != "n")


# --- pivot ---------------------------------------------------------------------------------------


def test_a_pivot_is_sorted_and_counts_its_holes() -> None:
    rows = [ROWS[0], ROWS[2], ROWS[4], ROWS[5]]
    names, made, said = shaped(rows, pivot="omega,dt:energy")
    assert names == ["omega", "dt=0.01", "dt=0.1"]
    assert made == [
        {"omega": 1.0, "dt=0.1": 5.0},
        {"omega": 2.0, "dt=0.1": 1.0},
        {"omega": 10.0, "dt=0.01": 7.0},
    ]
    assert said == ["3 of 6 cells of the table are empty", "not in the table: 1 failed"]


def test_several_cases_in_a_cell_are_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="1 cell has several values of energy") as caught:
        shaped(ROWS, pivot="omega,dt:energy")
    assert "the cases differ in replicate" in str(caught.value)
    assert "--mean-over replicate puts" in caught.value.next_step
    names, made, said = shaped(ROWS, mean_over=("replicate",), pivot="omega,dt:energy")
    assert names == ["omega", "dt=0.01", "dt=0.1"]
    assert made[1] == {"omega": 2.0, "dt=0.1": 2.0}
    assert said[-1] == "3 of 6 cells of the table are empty"
    both = [*ROWS[:2], case(2.0, 0.1, 1.0, flag=1)]
    with pytest.raises(InputError) as caught:
        shaped(both, mean_over=("replicate",), pivot="omega,dt:energy")
    assert "--mean-over replicate,flag puts" in caught.value.next_step


def test_a_pivot_may_have_texts_counts_and_several_columns_of_rows() -> None:
    assert shaped(ROWS, pivot="omega,dt,replicate:label")[1] == [
        {"omega": 1.0, "dt": 0.1, "replicate=0": "text"}
    ]
    flags = [case(1.0, 0.1, 2.0, flag=flag) for flag in ("1", 1, True)]
    assert shaped(flags, pivot="omega,flag:energy")[0] == [
        *("omega", "flag=1", "flag=true", 'flag="1"')
    ]
    _, made, _ = shaped(ROWS, mean_over=("replicate",), pivot="omega,dt:energy_n")
    assert made[1] == {"omega": 2.0, "dt=0.1": 2}


@pytest.mark.parametrize(
    ("shape", "message", "remedy"),
    [
        ({"pivot": "omega:energy"}, "names no pivot", "ROWS,COLUMNS:CELL"),
        ({"pivot": "omega,dt"}, "names no pivot", "ROWS,COLUMNS:CELL"),
        ({"pivot": "omga,dt:energy"}, "'omga' is not a column", "Did you mean omega?"),
        ({"mean_over": ("energy",)}, "'energy' is not a param", "Params: replicate, dt, flag"),
        ({"group_by": ("omga",)}, "'omga' is not a column", "Did you mean omega?"),
        ({"stats": ("mean",)}, "statistics need groups", "--mean-over"),
        ({"group_by": ("dt",), "stats": ("mode",)}, "'mode' is not a statistic", "median"),
        ({"group_by": ("dt",), "mean_over": ("dt",)}, "names what goes", "one of them"),
    ],
)
def test_mistakes(shape: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        shaped(ROWS, **shape)
    assert remedy in caught.value.next_step


def test_a_pivot_has_no_more_columns_than_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcsweep.tables.pivot.ACROSS_MAX", 1)
    with pytest.raises(InputError, match="dt has 2 values"):
        shaped([ROWS[0], ROWS[4]], pivot="omega,dt:energy")


# --- of a sweep ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    python = "def run(x, seed):\n    return {'y': 10 * x + seed % 2}\n"
    made = MadeSweep(tmp_path_factory.mktemp("shape"), grid(x=[1, 2]), python=python, replicates=3)
    made.plan()
    made.handed_in()
    made.run(0)
    return made


def test_in_python(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sweep, "_recorded_cluster", None)  # no cluster
    sweep, said = Sweep(str(made.path)), list[str]()
    columns = ["x", "y_n", "y_min"]
    rows = sweep.query(
        mean_over="replicate", stats=["n", "min"], columns=columns, notify=said.append
    )
    assert [(row["x"], row["y_n"], row["y_min"] // 10) for row in rows] == [(1, 3, 1), (2, 3, 2)]
    assert said == ["means over cases that differ in replicate"]
    frame = sweep.to_dataframe(pivot="x,replicate:y", notify=None)
    assert list(frame.columns) == ["x", "replicate=0", "replicate=1", "replicate=2"]
    assert (frame["replicate=2"] // 10).tolist() == [1, 2]


def test_keys_of_groups_are_on_the_screen(
    made: MadeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those that a table of cases leaves out; what cases used is there if it is named."""
    for key in ("host", "code_digest"):
        request = TableRequest(shape=Shape(group_by=(key,), stats=("n",)))
        collect(made.directory, None, Settings(), print_table, request)
        head = capsys.readouterr().out.split("\n")[0].split()
        assert head == [key, "y_n", "wall_seconds_n"]


def test_attempts_have_no_shape() -> None:
    with pytest.raises(InputError, match="attempts have no metrics"):
        TableRequest(attempts=True, shape=Shape(pivot="x,replicate:y"))


def test_a_shape_takes_the_selected_cases(made: MadeSweep) -> None:
    taken: list[list[TableRow]] = []
    request = TableRequest(
        selection=Selection(where="x == 2", cases="0-4"),
        shape=Shape(mean_over=("replicate",)),
        columns=("x", "y_n"),
    )
    collect(made.directory, None, Settings(), lambda _, rows: taken.append(list(rows)), request)
    assert taken == [[{"x": 2, "y_n": 2}]]


def test_a_narrow_screen_has_the_keys_and_the_means_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcsweep.cli.render.console.width", lambda: 36)
    table, rows = reshaped(
        COLUMNS, ROWS, Shape(mean_over=("replicate", "flag")), (), lambda _: None
    )
    print_table(table, rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["dt", "omega", "energy_mean", "steps_mean"]
    assert " ".join(lines[4:]).startswith("not shown for width: energy_sd, energy_n, steps_sd")


def test_a_pivot_of_equal_cases_whose_value_is_nan() -> None:
    """A random draw may give a case two indices; its NaN is read twice."""
    rows = [case(1.0, 0.1, math.nan), case(1.0, 0.1, float("nan"))]
    names, made, _ = shaped(rows, pivot="omega,dt:energy")
    assert names == ["omega", "dt=0.1"]
    assert [math.isnan(row["dt=0.1"]) for row in made] == [True]
