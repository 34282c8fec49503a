"""A changed manifest under the same name: indices map to the same cases; no results are mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import SetupLine, Target
from hpcsweep.records import Resources
from hpcsweep.sources import (
    ParameterSource,
    arange,
    design,
    grid,
    linspace,
    logspace,
    manual,
    randint,
    random,
    uniform,
)
from hpcsweep.sources.case_locator import CaseLocator
from hpcsweep.sources.overlap import Lattice, shared
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.manifest_diff import (
    Difference,
    difference,
    refuse_mixing,
    remap,
)
from hpcsweep.sweepdir.version import Version
from tests.support.sweeps import MadeSweep

axes = st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True)


def moved(indices: IndexSet, old: ParameterSource, new: ParameterSource) -> IndexSet:
    """One set of indices of `old`, as indices of `new`."""
    (found,) = remap([indices], old, new)
    return found


@given(axes, axes, st.integers(1, 3), st.integers(1, 3), st.data())
def test_cases_keep_their_results(
    old: list[int], new: list[int], first: int, second: int, data: st.DataObject
) -> None:
    """However axes are extended, thinned out or reordered: an index leads to the same case."""
    before, after = grid(x=old).repeat(first), grid(x=new).repeat(second)
    indices = IndexSet.of(data.draw(st.lists(st.integers(0, before.n_cases - 1), max_size=10)))
    found = moved(indices, before, after)
    ids = {before[index].case_id for index in indices}
    assert {after[index].case_id for index in found} == ids & {case.case_id for case in after}
    # The same by a pass over all ids, for sources that cannot find a case.
    assert found == IndexSet.of(case.index for case in after if case.case_id in ids)


def test_a_source_that_cannot_look_up() -> None:
    old = random({"x": randint(0, 4)}, 10, seed=3)
    new = random({"x": randint(0, 4)}, 14, seed=3)
    assert not new.can_find
    found = moved(IndexSet.of([2]), old, new)
    assert 2 in found
    assert {new[index].case_id for index in found} == {old[2].case_id}


def test_from_one_kind_of_source_to_another() -> None:
    cases = [{"x": x, "y": y} for x in (3, 1) for y in (0.5, 7)]
    assert moved(IndexSet.all(4), manual(cases), grid(y=[7, 0.5], x=[1, 3])) == IndexSet.all(4)
    new = grid(y=[7.0, 0.5], x=[1, 3])
    place = new.find({"x": 3, "y": 7})
    assert place is not None
    assert moved(IndexSet.of([1]), manual(cases), new) == IndexSet.of([place])


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seed": 5}, True),
        ({"chunk": 7}, True),
        ({"setup": (SetupLine(text="x", where="m:1"),)}, True),
        ({"resources": Resources(options={"mem": "1G"})}, True),
        ({"replicates": 2}, False),
        ({"source": grid(x=[1, 2, 3])}, False),
        ({"source": grid(x=[2, 1])}, False),
        ({"source": grid(x=[1.0, 2])}, True),
        ({"source": grid(x=[True, 2])}, False),
    ],
)
def test_changes_that_keep_the_order(tmp_path: Path, changes: dict[str, Any], same: bool) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    old = made.manifest
    changes = dict(changes)
    made.freeze(changes.pop("source", grid(x=[1, 2])), **changes)
    assert old.orders_like(made.manifest) is same
    version = Version.of(made.manifest, made.source)
    (found,) = in_order_of(version, made.directory, old.fingerprint, [IndexSet.of([1])])
    (index,) = found
    assert made.source[index].params == {"x": 2}
    assert not same or index == 1


def test_another_target_or_seed_is_refused(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]), seed=1)
    refuse_mixing(made.directory, made.manifest)  # nothing was submitted
    made.plan()
    made.freeze(grid(x=[1, 2]), seed=1)
    refuse_mixing(made.directory, made.manifest)
    made.freeze(grid(x=[1]), seed=2)
    with pytest.raises(SweepError, match="the seed was 1 and is 2"):
        refuse_mixing(made.directory, made.manifest)
    made.target = Target(argv=("./sim", "{x}"))
    made.freeze(grid(x=[1]), seed=1)
    with pytest.raises(SweepError, match=r"the target was `target.py:run` and is `./sim") as caught:
        refuse_mixing(made.directory, made.manifest)
    assert "--allow-mixed" in caught.value.next_step


# --- what a change changes -----------------------------------------------------------------------


def told(
    tmp_path: Path, before: ParameterSource, after: ParameterSource, **more: Any
) -> Difference:
    made = MadeSweep(tmp_path, before)
    made.plan(chunk_size=1_000_000)
    made.freeze(after, **more)
    found = difference(made.directory, Version.of(made.manifest, made.source))
    assert found is not None
    return found


def counted(before: ParameterSource, after: ParameterSource) -> tuple[int, int, int]:
    """Cases added, removed and kept, by their ids."""
    old, new = ({case.case_id for case in cases} for cases in (before, after))
    return len(new - old), len(old - new), len(old & new)


def test_an_unchanged_manifest_has_no_difference(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    assert difference(made.directory, Version.of(made.manifest, made.source)) is None
    made.plan()
    made.freeze(grid(x=[1, 2]), chunk=7)
    assert difference(made.directory, Version.of(made.manifest, made.source)) is None


def test_axes_that_changed(tmp_path: Path) -> None:
    before = grid(same=[1, 2, 3], more=[1, 2], other=["a", "b", "c"], turned=[1, 2])
    after = grid(same=[1, 2, 3], more=[1, 2, 3.5], other=["c", "d"], turned=[2, 1])
    found = told(tmp_path, before, after)
    assert (found.added, found.removed, found.kept) == counted(before, after)
    assert str(found).splitlines() == [
        "other cases than in the last submission: 24 added, 24 removed, 12 kept",
        "  axis more: 1 added, 0 removed, 2 kept",
        "  axis other: 1 added, 2 removed, 1 kept",
        "  axis turned: its 2 values in another order",
    ]


def test_axes_that_came_and_went(tmp_path: Path) -> None:
    found = told(tmp_path, grid(x=[1, 2], y=[0]), grid(x=[1, 2], z=[0, 1]))
    assert (found.added, found.removed, found.kept) == (4, 2, 0)
    assert str(found).splitlines()[1:] == ["  axis y: is gone", "  axis z: is new, 2 values"]


def test_replicates_that_were_added(tmp_path: Path) -> None:
    found = told(tmp_path, grid(x=[1, 2]), grid(x=[2, 3]), replicates=3)
    assert (found.added, found.removed, found.kept) == (5, 1, 1)
    assert "replicates: 1 before, 3 now" in str(found)


def test_a_grid_of_a_thousand_million_cases(tmp_path: Path) -> None:
    """Neither the difference nor the new indices cost anything that grows with the cases."""
    wide = {"a": range(1000), "b": range(1000), "c": range(1000)}
    before, after = grid(**wide), grid(**wide | {"a": range(1003)})
    made = MadeSweep(tmp_path, before)
    made.plan(chunk_size=1_000_000)
    made.freeze(after)
    found = difference(made.directory, Version.of(made.manifest, made.source))
    assert found is not None
    assert (found.added, found.removed, found.kept) == (3_000_000, 0, 10**9)
    every = IndexSet.all(10**9)
    assert made.directory.newest_manifest() != made.manifest.fingerprint
    assert moved(every, before, after) == every
    # In the other direction, and with values that lie in front, the old cases lie apart.
    shifted = grid(**wide | {"a": range(-5, 1000)})
    assert moved(every, before, shifted) == IndexSet([(5 * 10**6, 5 * 10**6 + 10**9)])
    assert moved(IndexSet.all(1_003_000_000), after, before) == every
    inner = moved(every, before, grid(**wide | {"b": range(0, 1000, 2)}))
    assert inner.count == 500_000_000
    assert inner.ranges[0] == (0, 500_000_000)


def test_an_axis_that_came_to_a_thousand_million_cases() -> None:
    """No case of the one is a case of the other: none is looked up."""
    before = grid(a=range(10**5), b=range(10**4))
    assert moved(IndexSet.all(10**9), before, before.with_params(c=1)) == IndexSet()
    assert moved(IndexSet.all(10**9), before.with_params(c=1), before) == IndexSet()


def test_one_axis_of_a_thousand_million_values(tmp_path: Path) -> None:
    found = told(tmp_path, grid(x=linspace(0, 1, 10**9 + 1)), grid(x=linspace(0, 2, 2 * 10**9 + 1)))
    assert (found.added, found.removed, found.kept) == (10**9, 0, 10**9 + 1)
    assert "axis x: 1000000000 added, 0 removed, 1000000001 kept" in str(found)


def test_a_comparison_that_would_take_hours_is_refused() -> None:
    steps = {"y": range(10**6), "z": range(100)}
    with pytest.raises(SweepError, match="would have to be looked up one by one") as caught:
        moved(IndexSet.all(10**8), grid(**steps), grid(**steps | {"z": range(0, 100, 3)}))
    assert "another name" in caught.value.next_step


def test_other_sources_by_a_stream_of_ids(tmp_path: Path) -> None:
    before = random({"x": randint(0, 4), "y": randint(0, 4)}, 10, seed=3)
    after = random({"x": randint(0, 4), "y": randint(0, 4)}, 30, seed=3)
    found = told(tmp_path, before, after)
    assert (found.added, found.removed, found.kept) == counted(before, after)
    assert found.axes == ()
    assert found.old < before.n_cases or found.new < after.n_cases  # different cases are counted


def test_too_many_for_a_stream_are_not_counted(tmp_path: Path) -> None:
    space = {"x": uniform(0, 1)}
    found = told(tmp_path, random(space, 10**9, seed=3), random(space, 2 * 10**9, seed=4))
    assert (found.added, found.removed, found.kept) == (None, None, None)
    assert "1000000000 cases before, 2000000000 now" in str(found)


def grown(n_trials: int) -> list[ParameterSource]:
    """Sources whose first trials do not change when more are added."""
    space = {"x": uniform(0, 1), "n": randint(0, 3)}
    drawn = random(space, n_trials, seed=3)
    return [
        drawn,
        design("sobol", space, n_trials, seed=3),
        design("halton", space, n_trials, seed=3).with_params(y=1),
        grid(a=[1, 2]) * drawn,
        (drawn * grid(a=range(100))).derive("copy:copy"),
    ]


@pytest.mark.parametrize("kind", range(5))
def test_a_thousand_million_trials_that_become_more(tmp_path: Path, kind: int) -> None:
    """Neither a submit nor an ingest looks up a case."""
    few, many = grown(10**9)[kind], grown(3 * 10**9)[kind]
    found = told(tmp_path, few, many)
    assert (found.added, found.removed, found.kept) == (2 * few.n_cases, 0, few.n_cases)
    every = IndexSet.all(few.n_cases)
    places = CaseLocator(many)
    assert moved(every, few, many).count == few.n_cases
    for index in (0, 7, few.n_cases - 1):
        (place,) = moved(IndexSet.of([index]), few, many)
        assert many[place].case_id == few[index].case_id
        assert places.locate_index("few", few, index) == place
    fewer = CaseLocator(few)
    assert fewer.locate_index("many", many, many.n_cases - 1) is None
    assert moved(IndexSet.of([many.n_cases - 1]), many, few) == IndexSet()


def test_a_latin_hypercube_keeps_no_point(tmp_path: Path) -> None:
    one, other = (design("latin_hypercube", {"x": uniform(0, 1)}, n, seed=3) for n in (10, 20))
    assert told(tmp_path, one, other).kept == 0
    assert moved(IndexSet.all(10), one, other) == IndexSet()


def test_derived_parameters_of_a_thousand_million_cases(tmp_path: Path) -> None:
    """A case id hashes what the function is given, and the function's name."""
    one, other = (grid(x=range(n), y=range(100)).derive("copy:copy") for n in (10**7, 10**7 + 5))
    found = told(tmp_path, one, other)
    assert (found.added, found.removed, found.kept) == (500, 0, 10**9)
    assert moved(IndexSet.all(10**9), one, other) == IndexSet.all(10**9)
    another = grid(x=range(10**7), y=range(100)).derive("copy:deepcopy")
    wider = grid(x=range(10**7), y=range(100), z=[1]).derive("copy:copy")
    assert moved(IndexSet.all(10**9), one, wider) == IndexSet()
    (tmp_path / "another").mkdir()
    found = told(tmp_path / "another", one, another)
    assert (found.added, found.removed, found.kept) == (10**9, 10**9, 0)
    assert moved(IndexSet.all(10**9), one, another) == IndexSet()
    assert CaseLocator(another).locate_index("one", one, 5) is None


def test_cases_at_the_end_are_found_by_their_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are added to a table: no other row is read."""
    old = manual([{"x": i} for i in range(5)])
    new = manual([{"x": i} for i in range(7)])
    places = CaseLocator(new)
    with monkeypatch.context() as patch:
        patch.setattr(type(new), "__iter__", None)
        assert [places.locate_index("old", old, index) for index in range(5)] == list(range(5))
    turned = CaseLocator(manual([{"x": i} for i in (4, 3, 2, 1)]))
    assert [turned.locate_index("old", old, index) for index in range(5)] == [None, 3, 2, 1, 0]


def test_a_case_that_only_a_day_would_find_has_no_place() -> None:
    case = random({"x": uniform(0, 1)}, 1, seed=8)[0]
    for n_trials, found in ((10**12, None), (1, 0)):
        places = CaseLocator(random({"x": uniform(0, 1)}, n_trials, seed=8))
        assert places.locate_case(case.case_id, case.params, 0) == found


numbers = st.sampled_from([0, 1, 2, 3, 0.5, 1.5, -1, 0.1, 0.25, 0.3])
lists = st.lists(numbers, min_size=1, max_size=5, unique=True)
rules = st.one_of(
    st.builds(linspace, numbers, st.sampled_from([4, 5, 7.5]), st.integers(2, 9)),
    st.builds(arange, numbers, st.sampled_from([4, 5]), st.sampled_from([1, 2, 0.5, 0.1, 0.3])),
    st.builds(logspace, numbers, st.sampled_from([4, 5]), st.integers(2, 9)),
    st.builds(range, st.integers(-3, 3), st.integers(4, 12), st.integers(1, 3)),
    st.builds(range, st.integers(4, 12), st.integers(-3, 3), st.integers(-3, -1)),
)
values = st.one_of(lists, rules)


@given(
    st.lists(values, min_size=2, max_size=2),
    st.lists(values, min_size=2, max_size=2),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.booleans(),
    st.data(),
)
def test_the_algebra_of_axes_counts_what_ids_count(
    old: list[Any], new: list[Any], times: tuple[int, int], shuffled: bool, data: st.DataObject
) -> None:
    before = grid(a=old[0]) * grid(b=old[1]).with_params(c="c")
    in_order = grid(a=new[0], b=new[1], c=["c", "d"])
    after = in_order.shuffle(3) if shuffled else in_order
    one, other = before.repeat(times[0]), after.repeat(times[1])
    found = [Lattice.of(one), Lattice.of(other)]
    assert None not in found
    kept = min(times)
    for name in ("a", "b", "c"):
        both = shared(*(lattice.axes[name] for lattice in found if lattice))
        assert both is not None
        kept *= both
    _, _, by_ids = counted(one, other)
    assert kept == by_ids
    indices = IndexSet.of(data.draw(st.lists(st.integers(0, one.n_cases - 1), max_size=10)))
    ids = {one[index].case_id for index in indices}
    assert moved(indices, one, other) == IndexSet.of(c.index for c in other if c.case_id in ids)
