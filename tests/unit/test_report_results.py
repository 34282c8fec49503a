"""The data of the page Results, and the size of a report."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime

import numpy as np
import pytest

from hpcsweep.records import Status
from hpcsweep.report.case_table import CaseColumn, CaseTable
from hpcsweep.report.document import document, sections_of
from hpcsweep.report.pages import PAGES, PageData
from hpcsweep.report.results import RUN_DIRS_MAX, results
from hpcsweep.report.sensitivity import sensitivity
from hpcsweep.state.executions import STATUSES

CASES = 10_000


def table(
    *columns: CaseColumn, run_dirs: tuple[str, ...] = (), indices: object = None
) -> CaseTable:
    """Complete cases with these columns."""
    n_cases = len(columns[0].values)
    return CaseTable(
        indices=np.arange(n_cases) if indices is None else np.array(indices),
        status=np.full(n_cases, STATUSES.index(Status.COMPLETE), np.int8),
        columns=columns,
        run_dirs=run_dirs,
    )


@pytest.mark.parametrize(
    ("values", "shown", "is_rounded"),
    [
        ([0.123456789, 0.9], [0.12346, 0.9], True),
        # The digits that they share tell nothing.
        ([1000.0123456, 1000.0987654], [1000.01235, 1000.09877], True),
        ([-1.7e308, 1.7976931348623157e308], [-1.7e308, 1.7977e308], True),
        ([0.123456789] * 2, [0.123456789] * 2, False),
        ([1.5, np.nan], [1.5, None], False),
        ([0.0, 12], [0, 12], False),
    ],
)
def test_numbers_have_five_digits_beyond_those_that_a_column_shares(
    values: list[float], shown: list[float | None], is_rounded: bool
) -> None:
    data = results(table(CaseColumn(name="m", role="metric", values=np.array(values))), "s", 2)
    assert data["columns"][0]["values"] == shown
    assert bool(data["rounding"]) == is_rounded


def test_values_of_a_grid_are_exact() -> None:
    column = CaseColumn(name="p", role="param", values=np.array([0.123456789, 2.0]))
    assert results(table(column), "s", 2)["columns"][0]["values"] == [0.123456789, 2]


def test_indices_are_gaps() -> None:
    column = CaseColumn(name="p", role="param", values=np.zeros(3))
    assert results(table(column, indices=[4, 7, 8]), "s", 9)["gaps"] == [4, 3, 1]


def test_run_directories_of_many_cases_are_short_and_tell_them_apart() -> None:
    names = [f"runs/01/log_a-b-{at:08x}{at:08x}" for at in range(RUN_DIRS_MAX)]
    names.append("runs/01/log_c-00000001ffffffff")  # begins as the second one
    dirs = (*names, "runs/.attempts/0123.45", "")
    column = CaseColumn(name="p", role="param", values=np.zeros(len(dirs)))
    short = results(table(column, run_dirs=dirs), "s", len(dirs))["run_dir"]
    assert short[0] == "runs/01/log_*-000000000*"
    assert short[-2:] == ["runs/.attempts/0123.45", ""]
    for at in (0, 1, RUN_DIRS_MAX):
        assert fnmatch.filter(names, short[at]) == [names[at]]


def test_run_directories_of_few_cases_are_whole() -> None:
    column = CaseColumn(name="p", role="param", values=np.zeros(2))
    for dirs, shown in ((("runs/log_a-0123", ""), ["runs/log_a-0123", ""]), (("", ""), [])):
        assert results(table(column, run_dirs=dirs), "s", 2)["run_dir"] == shown


def test_a_report_of_ten_thousand_random_cases_is_smaller_than_a_megabyte_and_a_half() -> None:
    random = np.random.default_rng(1)
    values = {"param": random.random((10, CASES)), "metric": random.normal(0, 1, (8, CASES))}
    values["used"] = random.random((3, CASES)).astype(np.float32)
    columns = [
        CaseColumn(name=f"{role}{at}", role=role, values=column)
        for role, of_role in values.items()
        for at, column in enumerate(of_role)
    ]
    ids = random.bytes(8 * CASES).hex(" ", 8).split()
    cases = table(*columns, run_dirs=tuple(f"runs/{one[0]}/log_{'p' * 60}-{one}" for one in ids))
    made = {"results": results(cases, "s", CASES), "sensitivity": sensitivity(cases)}
    pages = [PageData(page=page, data=made[page.name]) for page in PAGES if page.name in made]
    text = document("s", datetime.now(UTC), sections_of(pages))
    # The other pages of such a sweep take 20 kB.
    assert len(text.encode()) < 1_480_000
