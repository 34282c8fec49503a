"""Array syntax, against what Slurm 22.05.8 accepted and showed."""

from __future__ import annotations

import pytest

from hpcsweep.emulator import arrays
from hpcsweep.errors import InputError

LIMIT = 100_001


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0-3", "0-3"),
        ("1-9:2", "1,3,5,7,9"),
        ("0-10:3", "0,3,6,9"),
        ("1,3,5-7,20-30:5%2", "1,3,5-7,20,25,30"),
        ("5,3,1", "1,3,5"),
        ("1,1,1", "1"),
        ("0-3,2-5", "0-5"),
        ("007", "7"),
        ("007-010", "7-10"),
        ("0-0", "0"),
        ("1-3:5", "1"),
        ("", ""),
        (",", ""),
        ("1,", "1"),
        (",1", "1"),
        ("+3", "3"),
        (" 0-3", "0-3"),
        ("0, 3", "0,3"),
        ("[0-3]", "0-3"),
        ("[0-3%2]", "0-3"),
        ("%3", "0"),
        ("0-3%2,7", "0-3,7"),
        ("100000", "100000"),
    ],
)
def test_accepted(given: str, shown: str) -> None:
    assert arrays.format_ids(arrays.parse_array(given, LIMIT)) == shown


@pytest.mark.parametrize(
    "given",
    [
        *("5-2", "1-", "-1", "1-3-5", "a", "1,a", "1-3:0", "1.5", "0x3", "0-3 ", "0 - 3"),
        *("99999999999", "4294967296", "100001"),
    ],
)
def test_refused(given: str) -> None:
    with pytest.raises(InputError):
        arrays.parse_array(given, LIMIT)


@pytest.mark.parametrize(
    ("given", "throttle"),
    [
        ("0-15%4", 4),
        ("0-3%0", 0),
        ("0-3%x", 0),
        ("0-3%", 0),
        ("0-3%-1", 0),
        ("0-3%2%3", 2),
        ("0-3%2,7", 2),
        ("0-3%100", 100),
        ("0-3", 0),
    ],
)
def test_throttle(given: str, throttle: int) -> None:
    assert arrays.parse_throttle(given) == throttle


SPARSE = arrays.format_ids(
    (10238, 10253, 10398, 10549, 10632, 10698, 11099, 11103, 11112, 11363, 11521, 12060)
)


def test_a_long_array_is_cut_as_squeue_cuts_it() -> None:
    assert arrays.array_job_id(2258, SPARSE, 0, None) == "2258_[10238,10253,10398,10549,1"
    assert arrays.array_job_id(2258, SPARSE, 0, 0) == f"2258_[{SPARSE}]"
    assert arrays.array_job_id(7, "0-15", 4, None) == "7_[0-15%4]"
    cut = "10238,10253,10398,10549,10632,10698,11099,11103,11112,11363,..."
    assert arrays.cut_ids(SPARSE) == cut


@pytest.mark.parametrize(
    ("text", "job", "tasks"),
    [
        ("7", 7, None),
        ("7_3", 7, (3,)),
        ("7_[1-3,9]", 7, (1, 2, 3, 9)),
        ("7_", 7, ()),
    ],
)
def test_selectors(text: str, job: int, tasks: tuple[int, ...] | None) -> None:
    assert arrays.parse_selector(text) == arrays.Selector(job=job, tasks=tasks, text=text)


@pytest.mark.parametrize("text", ["", "abc", "7_x", "7.batch", "7_1.batch", "-7"])
def test_no_selector(text: str) -> None:
    assert arrays.parse_selector(text) is None


def test_a_list_is_not_split_inside_brackets() -> None:
    assert arrays.split_selectors("1,2_[3,5-6],7") == ["1", "2_[3,5-6]", "7"]
