"""The plan: arrays within the cluster's limits, and places for run directories."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import json_bytes
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Part
from hpcsweep.sweepdir.parts import AUTO_TASKS, PARTS_MAX, chunk_size_for, make_parts
from hpcsweep.sweepdir.plan import (
    ALL_RUNS_MAX,
    FLAT_RUNS_MAX,
    Circumstances,
    Layout,
    Plan,
    PlanDocument,
    attempt_dir,
    read_plan,
)

TOKEN = "0123456789abcdef"


def make_plan(indices: IndexSet, chunk_size: int, max_array_size: int = 1001) -> Plan:
    chunks = -(-indices.count // chunk_size)
    return Plan(
        submission=1,
        manifest="0" * 16,
        indices=indices,
        chunk_size=chunk_size,
        parts=make_parts(chunks, max_array_size=max_array_size, throttle=0),
        layout=Layout(runs="all"),
    )


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "limit", "sizes"),
    [
        (1, 1001, [1]),
        (1000, 1001, [1000]),
        (1001, 1001, [1000, 1]),
        (2500, 1001, [1000, 1000, 500]),
        (5, 3, [2, 2, 1]),
        (5, 2, [2, 2, 1]),
        (5, 1, [1, 1, 1, 1, 1]),
        (3, 100_001, [3]),
    ],
)
def test_no_element_is_above_the_clusters_limit(chunks: int, limit: int, sizes: list[int]) -> None:
    """MaxArraySize caps the index of an element, so it is one more than the largest."""
    parts = make_parts(chunks, max_array_size=limit, throttle=0)
    assert [part.chunks for part in parts] == sizes
    assert all(part.chunks - 1 < limit and part.is_array for part in parts)


def test_without_arrays_each_task_is_a_job() -> None:
    parts = make_parts(3, max_array_size=0, throttle=0)
    assert [(part.first_chunk, part.chunks, part.is_array) for part in parts] == [
        (0, 1, False),
        (1, 1, False),
        (2, 1, False),
    ]
    with pytest.raises(InputError, match="switched off"):
        make_parts(3, max_array_size=0, throttle=2)
    plan = make_plan(IndexSet.all(3), 1, max_array_size=0)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json())), "x") == plan
    # What an older program reads is written as ever.
    assert "is_array" not in json.dumps(make_plan(IndexSet.all(3), 1).to_json())


@pytest.mark.parametrize(
    ("limit", "tasks"),
    [(0, 100), (1, 100), (2, 100), (101, 100), (301, 300), (1001, 1000), (100_001, 1000)],
)
def test_chunk_auto_fits_into_one_array_unless_that_is_tiny(limit: int, tasks: int) -> None:
    size = chunk_size_for(100_000, None, max_array_size=limit)
    assert -(-100_000 // size) <= tasks < -(-100_000 // (size - 1))


@pytest.mark.parametrize(
    ("throttle", "shares"),
    [(0, [0, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (5, [2, 2, 1]), (9000, [3000, 3000, 3000])],
)
def test_a_throttle_is_divided_over_the_parts(throttle: int, shares: list[int]) -> None:
    parts = make_parts(2500, max_array_size=1001, throttle=throttle)
    assert [part.throttle for part in parts] == shares


def test_a_throttle_that_cannot_be_divided() -> None:
    with pytest.raises(InputError, match="cannot be divided over 3 arrays") as caught:
        make_parts(2500, max_array_size=1001, throttle=2)
    assert "--throttle 3" in caught.value.next_step


@pytest.mark.parametrize(
    ("count", "chunk", "size"),
    [(1, None, 1), (1000, None, 1), (1001, None, 2), (10**12, None, 10**9), (5, 3, 3), (5, 9, 9)],
)
def test_the_size_of_a_chunk(count: int, chunk: int | None, size: int) -> None:
    assert chunk_size_for(count, chunk) == size
    assert chunk or -(-count // size) <= AUTO_TASKS


# --- chunks --------------------------------------------------------------------------------------


def test_chunks_of_scattered_indices() -> None:
    plan = make_plan(IndexSet([(5, 8), (20, 23)]), chunk_size=2)
    assert [list(plan.chunk(n)) for n in range(plan.chunks)] == [[5, 6], [7, 20], [21, 22]]


@pytest.mark.parametrize("number", [-1, 3, 10**9])
def test_a_chunk_that_was_not_submitted(number: int) -> None:
    plan = make_plan(IndexSet.all(6), chunk_size=2)
    with pytest.raises(SweepError, match=f"chunk {number} is not one of the 3"):
        plan.chunk(number)


def test_a_part_that_was_not_submitted() -> None:
    plan = make_plan(IndexSet.all(6), chunk_size=2)
    assert plan.part(0) == Part(number=0, first_chunk=0, chunks=3)
    for number in (-1, 1):
        with pytest.raises(SweepError, match=f"has no part {number}"):
            plan.part(number)


@pytest.mark.parametrize("count", [10**12, 2**53 + 1, 10**18 + 1, 10**30 + 7])
def test_the_number_of_cases_costs_nothing(count: int) -> None:
    """And is exact beyond what a float can hold: the last case is in the last chunk."""
    size = chunk_size_for(count, None)
    plan = make_plan(IndexSet.all(count), size)
    assert plan.chunks <= AUTO_TASKS
    assert len(json_bytes(plan.to_json())) < 1000
    last = plan.chunk(plan.chunks - 1)
    assert last.select(last.count - 1) == count - 1
    assert plan.chunk(0).select(0) == 0


# --- on disk -------------------------------------------------------------------------------------


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = make_plan(IndexSet([(0, 10**12), (10**13, 10**13 + 5)]), 10**9)
    path = tmp_path / "plan.json"
    around: Circumstances = {
        "cluster": {"kind": "slurm", "name": "c", "state_dir": ""},
        "worker": {"beat_s": 1},
    }
    written: PlanDocument = {**plan.to_json(), **around}
    path.write_bytes(json_bytes(written))
    read, document = read_plan(path)
    assert read == plan
    assert document == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2, this program reads 1"),
        ({"format": None}, "has format None"),
        ({"parts": None}, "is damaged"),
        ({"indices": [[2, 1]]}, "is damaged"),
        ({}, "is damaged: it has no cluster"),
    ],
)
def test_a_plan_that_this_program_cannot_read(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(make_plan(IndexSet.all(1), 1).to_json() | change))
    with pytest.raises(SweepError, match=message) as caught:
        read_plan(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("text", ["", "{", "nul"])
def test_a_damaged_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(SweepError, match="is not JSON"):
        read_plan(tmp_path / "plan.json")


def test_too_many_arrays_are_refused_before_one_is_made() -> None:
    """`chunk: 1` of 10^12 cases would be written for ever."""
    assert len(make_parts(1000 * PARTS_MAX, max_array_size=1001, throttle=0)) == PARTS_MAX
    with pytest.raises(InputError, match=r"10{12} array tasks would need 10{9} arrays") as caught:
        make_parts(10**12, max_array_size=1001, throttle=0)
    assert caught.value.where == "chunk"
    assert "at least 100000 times as large" in caught.value.next_step


# --- run directories -----------------------------------------------------------------------------


def case_ids(count: int) -> list[str]:
    """Case ids as good as real ones: hexadecimal digits of a hash."""
    return [sha256(str(number).encode()).hexdigest()[:16] for number in range(count)]


def entries(paths: list[str]) -> dict[str, int]:
    """How many entries each directory has that holds one of the paths, or a part of one."""
    seen: dict[str, set[str]] = {}
    for path in paths:
        folders = path.split("/")
        for depth in range(1, len(folders)):
            seen.setdefault("/".join(folders[:depth]), set()).add(folders[depth])
    return {path: len(names) for path, names in seen.items()}


@pytest.mark.parametrize("count", [1, FLAT_RUNS_MAX, FLAT_RUNS_MAX + 1, 8000, 8001, 30_000])
def test_a_directory_has_a_limited_number_of_entries(count: int) -> None:
    layout = Layout.choose("all", count, None)
    paths = [layout.run_dir(case_id, f"x=1-{case_id}") for case_id in case_ids(count)]
    assert len(set(paths)) == count
    assert max(entries(paths).values()) <= 1000


def test_a_directory_has_a_limited_number_of_entries_with_a_million_cases() -> None:
    """Counted by the digits alone: 16 entries for one digit of a level, 256 for two."""
    layout = Layout.choose("all", 10**6, None)
    leaves = Counter(case_id[: layout.shard_digits] for case_id in case_ids(50_000))
    assert 20 * max(leaves.values()) < 2000  # a twentieth of the cases is coarser than all
    assert 10**6 / 16**layout.shard_digits <= 500


def test_a_run_directory_names_its_case() -> None:
    layout = Layout(runs="all", shard_digits=3)
    assert layout.run_dir(TOKEN, f"x=1-{TOKEN}") == f"runs/01/2/log_x=1-{TOKEN}"
    assert Layout(runs="all").run_dir(TOKEN, f"x=1-{TOKEN}") == f"runs/log_x=1-{TOKEN}"
    assert attempt_dir(TOKEN, "f" * 16) == f"runs/.attempts/{TOKEN}.{'f' * 16}"


def test_a_sweep_keeps_its_layout_until_it_outgrows_it() -> None:
    large = Layout.choose("all", 10**6, None)
    assert Layout.choose("all", 10, large) == large
    small = Layout.choose("all", 10, None)
    assert small.shard_digits == 0
    assert Layout.choose("all", 10**6, small) == large
    assert Layout.choose("none", 10, large) == Layout(runs="none")


def test_auto_keeps_directories_of_a_small_sweep_and_packs_a_large_one() -> None:
    assert Layout.choose("auto", ALL_RUNS_MAX, None).runs == "all"
    assert Layout.choose("auto", ALL_RUNS_MAX + 1, None).runs == "packed"
