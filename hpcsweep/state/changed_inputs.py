"""Which complete cases read other files, or were given other cells, than they would today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hpcsweep.indexset import IndexSet
from hpcsweep.input_files import FileFacts, has_changed
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.outlook import Outlook
from hpcsweep.store import SweepIndex
from hpcsweep.store.upsert import is_same_identity
from hpcsweep.sweepdir.directory import SweepDirectory

# Cases of a sweep whose files every submission looks at; of a larger one `--rerun stale` does.
LOOKED_AT_MAX = 20_000


def with_changed_inputs(
    outlook: Outlook, sweep: SweepDirectory, sweep_index: SweepIndex, *, asked: bool
) -> Outlook:
    """Fill in `changed`: the complete indices whose input files or parameters have changed since.

    `asked`: whether a user asks for them, so that no count is a limit.
    """
    version = outlook.version
    count = version.source.n_cases
    if not outlook.complete or (count > LOOKED_AT_MAX and not asked):
        return outlook
    changed = IndexSet()
    if version.manifest.inputs:
        found = IndexSet.of(_of_changed_files(version.manifest.root, sweep_index))
        newest = sweep.newest_manifest()
        (changed,) = in_order_of(version, sweep, newest, [found])
    if version.source.key is not None:
        changed |= IndexSet.of(_of_changed_cells(outlook, sweep_index))
    return replace(outlook, changed=changed & outlook.complete)


def changed_text(changed: int, complete: int, name: str = "") -> str:
    """Say of how many of the complete cases, of the sweep `name`, inputs changed; empty for none.

    `changed` is the count that `with_changed_inputs` found.
    """
    if not changed:
        return ""
    of_sweep = f" of {name}" if name else ""
    return f"inputs have changed since {changed} of {complete} cases{of_sweep} were computed"


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
