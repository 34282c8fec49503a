"""A changed manifest under the same name: indices find their cases again, and nothing is mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.errors import SweepError
from hpcsweep.growth import in_newest_order, refuse_mixing, remap, same_order
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import SetupLine, Target
from hpcsweep.records import Resources
from hpcsweep.sources import grid, manual, randint, random, replicated
from tests.support.sweeps import MadeSweep

axes = st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True)


@given(axes, axes, st.integers(1, 3), st.integers(1, 3), st.data())
def test_cases_keep_their_results(
    old: list[int], new: list[int], first: int, second: int, data: st.DataObject
) -> None:
    """However axes are extended, thinned out or reordered: an index leads to the same case."""
    before, after = replicated(grid(x=old), first), replicated(grid(x=new), second)
    indices = IndexSet.of(data.draw(st.lists(st.integers(0, before.n_cases - 1), max_size=10)))
    found = remap(indices, before, after)
    ids = {before[index].case_id for index in indices}
    assert {after[index].case_id for index in found} == ids & {case.case_id for case in after}
    # The same by a stream of ids, for sources that cannot look up.
    assert found == IndexSet.of(case.index for case in after if case.case_id in ids)


def test_a_source_that_cannot_look_up() -> None:
    old = random({"x": randint(0, 4)}, 10, seed=3)
    new = random({"x": randint(0, 4)}, 14, seed=3)
    assert not new.can_find
    found = remap(IndexSet.of([2]), old, new)
    assert 2 in found
    assert {new[index].case_id for index in found} == {old[2].case_id}


def test_from_one_kind_of_source_to_another() -> None:
    cases = [{"x": x, "y": y} for x in (3, 1) for y in (0.5, 7)]
    assert remap(IndexSet.all(4), manual(cases), grid(y=[7, 0.5], x=[1, 3])) == IndexSet.all(4)
    assert remap(IndexSet.of([1]), manual(cases), grid(y=[7.0, 0.5], x=[1, 3])) == IndexSet.of(
        [grid(y=[7.0, 0.5], x=[1, 3]).find({"x": 3, "y": 7})]
    )


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
    ],
)
def test_what_keeps_the_order(tmp_path: Path, changes: dict[str, Any], same: bool) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    old = made.manifest
    changes = dict(changes)
    made.freeze(changes.pop("source", grid(x=[1, 2])), **changes)
    assert same_order(old, made.manifest) is same
    found = in_newest_order(
        made.directory, old.fingerprint, IndexSet.of([1]), made.manifest, made.source
    )
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
