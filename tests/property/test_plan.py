"""Plans, for any limits and any set of indices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import ids
from hpcsweep.cluster.slurm import text
from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import json_bytes
from hpcsweep.indexset import IndexSet
from hpcsweep.sweepdir.parts import chunk_size_for, make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from tests.support.arrays import array

sets = st.lists(st.integers(0, 300), max_size=60).map(IndexSet.of).filter(bool) | st.builds(
    IndexSet.all, st.integers(1, 400)
)
limits = st.integers(0, 50)
chunks = st.none() | st.integers(1, 500)


def make(indices: IndexSet, chunk: int | None, limit: int, throttle: int) -> Plan:
    size = chunk_size_for(indices.count, chunk)
    return Plan(
        submission=3,
        manifest="0123456789abcdef",
        indices=indices,
        chunk_size=size,
        parts=make_parts(-(-indices.count // size), max_array_size=limit, throttle=throttle),
        layout=Layout(runs="all", shard_digits=2),
        generation=1,
    )


@given(sets, chunks, limits)
def test_every_wanted_index_is_in_one_task(
    indices: IndexSet, chunk: int | None, limit: int
) -> None:
    plan = make(indices, chunk, limit, 0)
    planned: list[int] = []
    for number, part in enumerate(plan.parts):
        assert part.number == number
        argv = text.sbatch(array(part))
        arrays = [one.removeprefix("--array=") for one in argv if one.startswith("--array=")]
        elements = [int(one) for span in arrays for one in text.expand(f"[{span}]")]
        if limit == 0:
            assert (elements, argv[-1], part.chunks) == ([], "--alone", 1)
            elements = [0]
        assert max(elements) < max(limit, 1)
        for element in elements:
            planned += plan.chunk(part.first_chunk + element)
    assert planned == list(indices)  # each once, and in the order of ranks


@given(sets, chunks, st.data())
def test_several_chunks_have_the_indices_of_each(
    indices: IndexSet, chunk: int | None, data: st.DataObject
) -> None:
    plan = make(indices, chunk, 0, 0)
    numbers = data.draw(st.lists(st.integers(0, plan.chunks - 1), max_size=8))
    assert plan.indices_of(numbers) == IndexSet.union(map(plan.chunk, numbers))
    with pytest.raises(SweepError, match=f"chunk {plan.chunks} is not one"):
        plan.indices_of([*numbers, plan.chunks])


@given(sets, chunks, limits, st.integers(0, 200))
def test_the_throttle_limits_concurrent_jobs(
    indices: IndexSet, chunk: int | None, limit: int, throttle: int
) -> None:
    try:
        plan = make(indices, chunk, limit, throttle)
    except InputError:
        assert limit == 0 or 0 < throttle < len(make(indices, chunk, limit, 0).parts)
        return
    shares = [part.throttle for part in plan.parts]
    assert sum(shares) == throttle
    assert not throttle or (min(shares) >= 1 and max(shares) - min(shares) <= 1)


@given(sets, chunks, limits)
def test_a_plan_goes_through_its_file(indices: IndexSet, chunk: int | None, limit: int) -> None:
    plan = make(indices, chunk, limit, 0)
    assert Plan.from_json(plan.to_json(), "plan.json") == plan


@given(st.integers(1, 10**40), st.integers(1, 10**40))
def test_any_number_of_cases_has_a_plan(count: int, chunk: int) -> None:
    chunk = max(chunk, count // 5000)
    plan = make(IndexSet.all(count), chunk, 1001, 0)
    assert sum(part.chunks for part in plan.parts) == plan.chunks
    last = plan.chunk(plan.chunks - 1)
    assert last.select(last.count - 1) == count - 1
    assert 0 < last.count <= chunk
    assert len(json_bytes(plan.to_json())) < 3000


values = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
params = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8), values, max_size=3
)


@given(st.lists(params, min_size=1, max_size=8), st.integers(0, 6))
def test_a_case_has_one_run_directory_and_it_has_one_case(
    cases: list[dict[str, object]], digits: int
) -> None:
    layout = Layout(runs="all", shard_digits=digits)
    by_id: dict[str, str] = {}
    for case in cases:
        case_id = ids.case_id(case)
        path = layout.run_dir(case_id, ids.run_id(ids.canonical(case), case_id))
        assert by_id.setdefault(case_id, path) == path
        # Readable with nothing but a shell, and inside of the sweep directory.
        assert path.endswith(f"-{case_id}")
        assert path.isascii()
        assert path.isprintable()
        assert not set(path) & set(" '\"\\$`*?~#;&|<>()[]{}!")
        assert ".." not in path.split("/")
        assert max(map(len, path.split("/"))) <= 255
        assert len(path.split("/")) == 2 + (digits + 1) // 2
    assert len(set(by_id.values())) == len(by_id)
