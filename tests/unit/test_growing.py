"""Versions that grow: a batch keeps the index of every earlier case, and costs its own cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcsweep.executor.calls import CallPickles, CallSweep, manifest_keys
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, Target, sealed
from hpcsweep.records import ParamCase
from hpcsweep.sources import ManualSource, caselines
from hpcsweep.sources.filecases import FileCases
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.manifest_diff import difference
from hpcsweep.sweep import Sweep
from hpcsweep.sweepdir import growing
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.growing import GrownCases, with_cases
from hpcsweep.sweepdir.version import Version
from tests.support.sweeps import MadeSweep

SOME: list[dict[str, Any]] = [{"a": 1}, {"a": 2.0, "b": [1]}]
MORE: list[dict[str, Any]] = [{"c": None}, {"a": 1}]


def version(source: GrownCases, replicates: int = 1) -> Version:
    """The version of a manifest with these cases."""
    manifest = FrozenManifest(
        name="s", root="/", target=Target(argv=("true",)), source={}, replicates=replicates
    )
    return with_cases(Version.of(sealed(manifest), ManualSource([{"x": 0}])), source)


def test_a_grown_version_is_what_its_cases_would_be_at_once(tmp_path: Path) -> None:
    first = GrownCases(SOME)
    digest = version(first).manifest.cases_sha256
    grown = version(first.grown(MORE, digest), replicates=2)
    at_once = version(GrownCases([*SOME, *MORE], [str(digest)]), replicates=2)
    assert grown.manifest == at_once.manifest
    assert [case.params for case in first] == SOME  # it did not grow itself
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    sweep.freeze(grown)
    read = SweepDirectory.open(sweep.path).version(grown.fingerprint).source
    assert [case.params for case in read] == [case for case in [*SOME, *MORE] for _ in range(2)]


def test_earlier_indices_are_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = GrownCases(SOME)
    made = MadeSweep(tmp_path, first)
    grown = version(first.grown(MORE, version(first).manifest.cases_sha256))
    made.directory.freeze(version(first))
    last = version(first)
    monkeypatch.setattr(SweepDirectory, "newest", lambda _: last)
    monkeypatch.setattr(SweepDirectory, "submissions", lambda _: [1])

    def looked_up(self: Any, index: int) -> ParamCase:
        raise AssertionError(f"case {index} of {self} is read")

    monkeypatch.setattr(ManualSource, "_case", looked_up)
    monkeypatch.setattr(FileCases, "_case", looked_up)
    monkeypatch.setattr(FileCases, "__iter__", lambda self: looked_up(self, 0))
    found = difference(made.directory, grown)
    assert found is not None
    assert (found.old, found.new, found.kept) == (2, 4, 2)
    some = IndexSet.of([1])
    assert in_order_of(grown, made.directory, last.fingerprint, [some]) == [some]


def test_a_batch_of_calls_costs_its_own_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []

    def format_line(params: dict[str, Any]) -> bytes:
        lines.append(params)
        return caselines.format_line(params)

    def submit(self: Sweep, **_: Any) -> None:
        sent.append(self._version)

    sent: list[Version] = []
    monkeypatch.setattr(growing, "format_line", format_line)
    monkeypatch.setattr(Sweep, "submit", submit)
    calls = CallSweep("calls", tmp_path, manifest_keys({}), {"cluster": "emulated"})
    for batch in range(3):
        lines.clear()
        indices = [
            calls.add(CallPickles(function="f", code=b"", arguments=b"%d" % more), None)
            for more in range(2)
        ]
        calls.submit(indices, None if batch < 2 else 7)
        assert len(lines) == 2
    assert [one.source.n_cases for one in sent] == [2, 4, 6]
    assert sent[2].manifest.extends(sent[0].manifest)
    assert sent[2].manifest.extends(sent[1].manifest)
    assert sent[2].manifest.chunk == 7
    calls.submit([0], None)  # of calls that are there: the cases stay as they are
    assert sent[3].manifest.cases_sha256 == sent[2].manifest.cases_sha256
