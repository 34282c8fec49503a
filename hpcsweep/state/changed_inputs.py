"""Which complete cases read other files, or were given other cells, than they would today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from hpcsweep.indexset import IndexSet
from hpcsweep.input_files import FileFacts, has_changed
from hpcsweep.quantities import counted
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.outlook import Outlook
from hpcsweep.store import SweepIndex
from hpcsweep.store.upsert import is_same_identity
from hpcsweep.sweepdir.directory import SweepDirectory

# Cases of a sweep whose files every command looks at: a file system on a network answers for
# thousands of files in a second. Of a larger sweep only a command that is asked for it does.
LOOKED_AT_MAX = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class InputCounts:
    """How many complete cases have inputs that have changed since, in counts of indices."""

    complete: int = 0
    changed: int = 0
    # Whether nobody looked, as there are more cases than `LOOKED_AT_MAX`.
    unseen: bool = False

    @classmethod
    def of(cls, outlook: Outlook) -> Self:
        """Count the cases of an outlook that `with_changed_inputs` filled in."""
        return cls(
            complete=outlook.complete.count,
            changed=outlook.changed.count,
            unseen=outlook.inputs_unseen,
        )

    def text(self, name: str = "") -> str:
        """Say how many cases, of the sweep `name`; empty if there are none."""
        of_sweep = f" of {name}" if name else ""
        of_cases = f"of {counted(self.complete, 'case')}{of_sweep}"
        if self.unseen:
            return f"it was not checked whether inputs {of_cases} have changed"
        if not self.changed:
            return ""
        was = counted(self.changed, f"{of_cases} was", f"{of_cases} were")
        return f"inputs have changed since {was} computed"


def with_changed_inputs(
    outlook: Outlook, sweep: SweepDirectory, sweep_index: SweepIndex, *, asked: bool
) -> Outlook:
    """Fill in `changed`: the complete indices whose input files or parameters have changed since.

    `asked`: whether a user asks for them, so that no count is a limit.
    """
    version = outlook.version
    count = version.source.n_cases
    has_inputs = bool(version.manifest.inputs) or version.source.key is not None
    if not outlook.complete or not has_inputs:
        return outlook
    if count > LOOKED_AT_MAX and not asked:
        return replace(outlook, inputs_unseen=True)
    changed = IndexSet()
    if version.manifest.inputs:
        found = IndexSet.of(_of_changed_files(version.manifest.root, sweep_index))
        newest = sweep.newest_manifest()
        (changed,) = in_order_of(version, sweep, newest, [found])
    if version.source.key is not None:
        changed |= IndexSet.of(_of_changed_cells(outlook, sweep_index))
    return replace(outlook, changed=changed & outlook.complete, inputs_unseen=False)


def _of_changed_files(root: str, sweep_index: SweepIndex) -> Iterator[int]:
    """The indices of complete cases one of whose files has changed."""
    known: dict[tuple[str, str], bool] = {}

    def is_other(name: str, facts: FileFacts | None) -> bool:
        # Cases share files; each is looked at once.
        key = name, json.dumps(facts)
        if key not in known:
            known[key] = has_changed(Path(root, name), facts)
        return known[key]

    for index, files in sweep_index.inputs():
        if any(is_other(name, facts) for name, facts in json.loads(files).items()):
            yield index


def _of_changed_cells(outlook: Outlook, sweep_index: SweepIndex) -> Iterator[int]:
    """The indices of cases that were given other parameters under the same key."""
    given = {
        case_id: params
        for page in sweep_index.columns(("case_id", "params"))
        for case_id, params in zip(page["case_id"], page["params"], strict=True)
    }
    for case in outlook.version.source:
        params = given.get(case.case_id)
        if params is not None and not is_same_identity(params, json.dumps(case.params), None):
            yield case.index
