"""Memory and time in sbatch's form."""

from __future__ import annotations

import pytest

from hpcsweep.quantities import (
    counted,
    duration,
    hours_text,
    memory_bytes,
    memory_text,
    requested_memory,
    size_text,
    time_limit_seconds,
    time_limit_text,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500 * MIB),
        ("500M", 500 * MIB),
        ("2G", 2048 * MIB),
        ("2g", 2048 * MIB),
        ("1T", MIB * MIB),
        ("2048K", 2 * MIB),
        ("2GB", 2048 * MIB),
        # All memory of the node is no amount.
        ("0", None),
        ("", None),
        ("1.5G", None),
        ("-1", None),
        ("G", None),
        ("2G ", None),
    ],
)
def test_an_amount_of_memory(text: str, count: int | None) -> None:
    assert memory_bytes(text) == count


@pytest.mark.parametrize(
    ("count", "text"), [(MIB, "1M"), (MIB + 1, "2M"), (1.5 * MIB, "2M"), (3 << 30, "3072M")]
)
def test_memory_is_rounded_up(count: float, text: str) -> None:
    assert memory_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 KiB"), (4096, "4 KiB"), (MIB, "1 MiB"), (5 * MIB, "5 MiB"), (3 << 29, "1.5 GiB")],
)
def test_a_size_for_people(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "00:01:00"), (59.2, "00:01:00"), (86399, "23:59:59"), (90061, "1-01:01:01")],
)
def test_a_time_limit_reads_back_as_it_was_written(seconds: float, text: str) -> None:
    assert time_limit_text(seconds) == text
    assert time_limit_seconds(text) == round(seconds + 0.49)


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({}, None),
        ({"mem": "0"}, None),
        ({"mem": "2G"}, 2 << 30),
        ({"mem-per-cpu": "100M"}, 100 * MIB),
        ({"mem-per-cpu": "100M", "cpus-per-task": "4"}, 400 * MIB),
        ({"mem-per-gpu": "1G"}, None),
    ],
)
def test_requested_memory(options: dict[str, str], number: int | None) -> None:
    assert requested_memory(options) == number


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(n, "array task") for n in (0, 1, 2)] == [
        "0 array tasks",
        "1 array task",
        "2 array tasks",
    ]
    assert [counted(n, "case is", "cases are") for n in (1, 12)] == ["1 case is", "12 cases are"]


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.0, "0"), (2.5e-5, "<0.001"), (0.0123456, "0.0123"), (99.96, "100"), (1234.5, "1,234")],
)
def test_hours_have_no_exponent(hours: float, text: str) -> None:
    assert hours_text(hours) == text
    if hours > 2:
        assert duration(3600 * hours) == f"{text} h"
