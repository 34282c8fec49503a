"""Compare a changed manifest with the last submission's: what may change, and where cases move."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.quantities import counted
from hpcsweep.records import Status
from hpcsweep.sources import ParameterSource
from hpcsweep.sources.case_locator import LOOKED_UP_MAX
from hpcsweep.sources.overlap import Lattice, Rule, is_same, shared
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version

# Largest count of cases that are compared one by one, if one side is not a grid.
COUNTED_MAX = 1_000_000


def refuse_mixing(sweep: SweepDirectory, new: FrozenManifest) -> None:
    """Refuse another target or seed if its results would be mixed with old ones.

    *Raises* SweepError. *Writes* the index.
    """
    if not sweep.submissions():
        return
    old = sweep.newest().manifest
    changes = []
    if old.target != new.target:
        changes.append(f"the target was `{old.target.text}` and is `{new.target.text}`")
    if old.seed != new.seed:
        changes.append(f"the seed was {old.seed} and is {new.seed}")
    if changes and _may_have_results(sweep):
        raise SweepError(
            f"{' and '.join(changes)}: old and new results would be mixed",
            where=str(sweep.path),
            next_step="Give the manifest another name; or --allow-mixed, and --rerun all to "
            "compute everything again.",
        )


def _may_have_results(sweep: SweepDirectory) -> bool:
    """Whether a case is complete, or may become so; False where all that was submitted failed."""
    submitted = sum(sweep.plan(number)[0].indices.count for number in sweep.submissions())
    with fresh_index(sweep) as sweep_index:
        counts = sweep_index.counts()
    failed = sum(count for (status, _), count in counts.items() if status == Status.FAILED)
    return not failed == submitted == sum(counts.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisChange:
    """The change of one axis of a grid."""

    name: str
    # Counts of its values; 0 for a missing axis.
    old: int
    new: int
    # Count of the values that both have; None if it was not counted.
    kept: int | None

    def __str__(self) -> str:
        if not self.old:
            return f"{self.name}: is new, {counted(self.new, 'value')}"
        if not self.new:
            return f"{self.name}: is gone"
        if self.kept is None:
            return f"{self.name}: {counted(self.old, 'value')} before, {self.new} now"
        if self.kept == self.old == self.new:
            return f"{self.name}: its {counted(self.new, 'value')} in another order"
        return f"{self.name}: {_changes(self.new - self.kept, self.old - self.kept, self.kept)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The difference between the cases of a manifest and those of the last submission."""

    # Fingerprint of the last submission's manifest.
    since: str
    # Counts of distinct cases.
    old: int
    new: int
    # Count of the cases that both have; None if it was not counted.
    kept: int | None
    # The changed axes, if both are grids.
    axes: tuple[AxisChange, ...] = ()
    # Counts of replicates.
    replicates: tuple[int, int] = (1, 1)

    @property
    def added(self) -> int | None:
        """Count of new cases."""
        return None if self.kept is None else self.new - self.kept

    @property
    def removed(self) -> int | None:
        """Count of cases that the manifest lacks now. Their results stay."""
        return None if self.kept is None else self.old - self.kept

    def __str__(self) -> str:
        """A line on the cases, and one for each axis that changed."""
        if self.kept is None:
            changes = (
                f"{counted(self.old, 'case')} before, {self.new} now; the common ones were not "
                f"counted, since more than {COUNTED_MAX} cases would have to be compared one by one"
            )
        else:
            changes = _changes(self.new - self.kept, self.old - self.kept, self.kept)
        lines = [f"other cases than in the last submission: {changes}"]
        if self.kept == self.old == self.new:
            what = "in another order, or with other cells outside of what identifies them"
            lines = [f"the same {counted(self.new, 'case')} as in the last submission, {what}"]
        lines += [f"  axis {axis}" for axis in self.axes]
        before, now = self.replicates
        if before != now:
            lines.append(f"  replicates: {before} before, {now} now")
        return "\n".join(lines)


def _changes(added: int, removed: int, kept: int) -> str:
    return f"{added} added, {removed} removed, {kept} kept"


def difference(sweep: SweepDirectory, version: Version) -> Difference | None:
    """Compare a manifest's cases with those of the sweep's last submission; None if they are equal.

    Grids of any size are compared by their axes; others in a pass over up to `COUNTED_MAX` cases.
    """
    if not sweep.submissions():
        return None
    last = sweep.newest()
    if last.manifest.orders_like(version.manifest):
        return None
    before, source = last.source, version.source
    if version.manifest.extends(last.manifest):
        return Difference(
            since=last.fingerprint, old=before.n_cases, new=source.n_cases, kept=before.n_cases
        )
    old, new = Lattice.of(before), Lattice.of(source)
    if old is None or new is None or not old.is_comparable(new):
        return _counted(last.fingerprint, before, source)
    # Random trials may repeat a case, so they are compared by their axes only if there are too
    # many.
    if not old.is_distinct and max(before.n_cases, source.n_cases) <= COUNTED_MAX:
        return _counted(last.fingerprint, before, source)
    axes = tuple(_axis_changes(old, new))
    factors = [min(old.replicates, new.replicates), *(axis.kept for axis in axes)]
    known = [factor for factor in factors if factor is not None]
    kept = math.prod(known) if known == factors or 0 in known else None
    if old.derived != new.derived:
        kept = 0
    return Difference(
        since=last.fingerprint,
        old=before.n_cases,
        new=source.n_cases,
        kept=kept,
        axes=tuple(axis for axis in axes if _has_changed(axis, old, new)),
        replicates=(old.replicates, new.replicates),
    )


def _axis_changes(old: Lattice, new: Lattice) -> Iterator[AxisChange]:
    for name in ids.in_order(old.axes.keys() | new.axes.keys()):
        old_axis, new_axis = old.axes.get(name), new.axes.get(name)
        yield AxisChange(
            name=name,
            old=old_axis.count if old_axis else 0,
            new=new_axis.count if new_axis else 0,
            # With an axis more or less, no case is the same.
            kept=shared(old_axis, new_axis) if old_axis and new_axis else 0,
        )


def _has_changed(axis: AxisChange, old: Lattice, new: Lattice) -> bool:
    return (
        axis.kept != axis.old
        or axis.kept != axis.new
        or (not is_same(old.axes[axis.name], new.axes[axis.name]))
    )


def _counted(since: str, before: ParameterSource, source: ParameterSource) -> Difference:
    """The difference, by comparing case ids."""
    if max(before.n_cases, source.n_cases) > COUNTED_MAX:
        return Difference(since=since, old=before.n_cases, new=source.n_cases, kept=None)
    old, new = ({int(case.case_id, 16) for case in cases} for cases in (before, source))
    return Difference(since=since, old=len(old), new=len(new), kept=len(old & new))


def remap(sets: Sequence[IndexSet], old: ParameterSource, new: ParameterSource) -> list[IndexSet]:
    """For each set, the indices in `new` of the cases that have its indices in `old`.

    A case that `new` lacks is left out. For grids the cost is a step per range of indices that
    stays together; otherwise a look-up per index if `new` can find cases, or one pass over it for
    all sets.
    *Raises* SweepError if that would take hours.
    """
    rule = Rule.of(Lattice.of(old), Lattice.of(new))
    moved = [None if rule is None else rule.moved(indices) for indices in sets]
    scattered = [indices for indices, place in zip(sets, moved, strict=True) if place is None]
    count = sum(indices.count for indices in scattered) if new.can_find else new.n_cases
    if scattered and count > LOOKED_UP_MAX:
        raise SweepError(
            f"{count} cases would have to be looked up one by one to match the earlier ones",
            where="source",
            next_step="Give the grown sweep another name; or add values at the end of the first "
            "axis of a grid, which moves no case.",
        )
    looked_up = iter((_look_up if new.can_find else _stream)(scattered, old, new))
    return [next(looked_up) if place is None else place for place in moved]


def _look_up(
    sets: Sequence[IndexSet], old: ParameterSource, new: ParameterSource
) -> Iterator[IndexSet]:
    """Remap by looking up each case in `new`."""
    for indices in sets:
        cases = (old[index] for index in indices)
        places = (new.find(case.params, case.replicate) for case in cases)
        yield IndexSet.of(index for index in places if index is not None)


def _stream(
    sets: Sequence[IndexSet], old: ParameterSource, new: ParameterSource
) -> Iterator[IndexSet]:
    """Remap by one pass over the case ids of `new`, if any set has an index."""
    sets_of: dict[str, set[int]] = {}
    for number, indices in enumerate(sets):
        for index in indices:
            sets_of.setdefault(old[index].case_id, set()).add(number)
    numbers: list[list[int]] = [[] for _ in sets]
    for case in new if sets_of else ():
        for number in sets_of.get(case.case_id, ()):
            numbers[number].append(case.index)
    return map(IndexSet.of, numbers)


def reorders(sweep: SweepDirectory, new: FrozenManifest) -> bool:
    """Whether a manifest gives cases other indices than the last submission."""
    return not sweep.newest().manifest.orders_like(new)
