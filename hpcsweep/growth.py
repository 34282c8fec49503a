"""A changed manifest under the same name: what may change, and how indices map onto each other."""

from __future__ import annotations

from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.sources import ParameterSource


def refuse_mixing(sweep: SweepDirectory, new: FrozenManifest) -> None:
    """Refuse another target or seed: its results would stand beside those of the old one.

    *Raises* SweepError.
    """
    if not sweep.submissions():
        return
    old = frozen.read(sweep.manifest_dir(sweep.newest_manifest()))
    changes = []
    if old.target != new.target:
        changes.append(f"the target was `{old.target.text}` and is `{new.target.text}`")
    if old.seed != new.seed:
        changes.append(f"the seed was {old.seed} and is {new.seed}")
    if changes:
        raise SweepError(
            f"{' and '.join(changes)}: old and new results would be mixed",
            where=str(sweep.path),
            next_step="Give the manifest another name; or --allow-mixed, and --rerun all to "
            "compute everything again.",
        )


def remap(indices: IndexSet, old: ParameterSource, new: ParameterSource) -> IndexSet:
    """The indices in `new` of the cases that have these indices in `old`.

    A case that `new` lacks is left out. Costs a look-up per index where `new` can find, else one
    pass over it.
    """
    cases = (old[index] for index in indices)
    if new.can_find:
        found = (new.find(case.params, case.replicate) for case in cases)
        return IndexSet.of(index for index in found if index is not None)
    wanted = {case.case_id for case in cases}
    return IndexSet.of(case.index for case in new if case.case_id in wanted)


def same_order(old: FrozenManifest, new: FrozenManifest) -> bool:
    """Whether both manifests give every case the same index."""

    def order(manifest: FrozenManifest) -> tuple[object, ...]:
        return manifest.source, manifest.replicates, manifest.cases_sha256

    return order(old) == order(new)


def reorders(sweep: SweepDirectory, new: FrozenManifest) -> bool:
    """Whether a manifest gives cases other indices than the last submission's."""
    return not same_order(frozen.read(sweep.manifest_dir(sweep.newest_manifest())), new)


def in_newest_order(
    sweep: SweepDirectory, fingerprint: str, indices: IndexSet, new: FrozenManifest,
    source: ParameterSource,
) -> IndexSet:  # fmt: skip
    """Indices of an older manifest of the sweep, as indices of a newer one."""
    if fingerprint == new.fingerprint or not indices:
        return indices
    directory = sweep.manifest_dir(fingerprint)
    old = frozen.read(directory)
    if same_order(old, new):
        return indices
    return remap(indices, frozen.open_source(directory, old), source)
