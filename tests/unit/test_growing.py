"""Versions that grow: a batch keeps the index of every earlier case, and costs its own cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import SourceError, SweepError
from hpcsweep.executor.calls import CallPickles, CallSweep, manifest_keys
from hpcsweep.files import names
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, Target, sealed
from hpcsweep.records import ParamCase
from hpcsweep.sources import ManualSource
from hpcsweep.sources.filecases import FileCases, LineCases
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.manifest_diff import difference
from hpcsweep.sweep import Sweep
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.growing import GrownCases, with_cases, with_cases_of
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


def frozen_in(sweep: SweepDirectory, described: Version) -> Version:
    """The version as it is on disk."""
    sweep.freeze(described)
    return SweepDirectory.open(sweep.path).version(described.fingerprint)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDirectory:
    return SweepDirectory.create(tmp_path / "s", "s")


def lines_of(sweep: SweepDirectory, described: Version) -> list[Any]:
    """The cases in the file of a version itself."""
    path = sweep.manifest_dir(described.fingerprint) / "cases.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("replicates", [1, 2])
def test_a_version_has_the_cases_of_the_one_before_and_writes_its_own(
    sweep: SweepDirectory, replicates: int
) -> None:
    first = frozen_in(sweep, version(GrownCases(SOME), replicates))
    second = frozen_in(sweep, version(GrownCases(MORE, first), replicates))
    third = frozen_in(sweep, version(GrownCases([{"d": 5}], second), replicates))
    assert lines_of(sweep, second) == MORE
    assert lines_of(sweep, third) == [{"d": 5}]
    expected = [case for case in [*SOME, *MORE, {"d": 5}] for _ in range(replicates)]
    assert [case.params for case in third.source] == expected
    assert [third.source[index].params for index in range(len(expected))] == expected
    assert [case.index for case in third.source] == list(range(len(expected)))
    assert [third.source[index].case_id for index in range(len(expected))] == [
        case.case_id for case in third.source
    ]
    assert third.source.names == {"a", "b", "c", "d"}
    assert [case.params for case in first.source] == expected[: first.source.n_cases]
    assert third.manifest.extends(first.manifest)
    assert third.manifest.extends(second.manifest)
    assert not first.manifest.extends(third.manifest)


def test_a_version_with_other_options_keeps_the_cases(sweep: SweepDirectory) -> None:
    first = frozen_in(sweep, version(GrownCases(SOME)))
    second = frozen_in(sweep, version(GrownCases(MORE, first)))
    other = sealed(replace(second.manifest, chunk=7))
    again = frozen_in(sweep, with_cases_of(Version.of(other, second.source), second))
    assert again.fingerprint != second.fingerprint
    assert lines_of(sweep, again) == MORE
    assert [case.params for case in again.source] == [*SOME, *MORE]
    # The lines are the same: indices are those of both.
    third = version(GrownCases([{"d": 5}], again))
    assert third.manifest.extends(second.manifest)
    assert third.manifest.extends(again.manifest)


def test_the_order_of_batches_counts(sweep: SweepDirectory) -> None:
    first = frozen_in(sweep, version(GrownCases(SOME)))
    one = version(GrownCases(MORE, first))
    other = version(GrownCases([{"d": 5}], first))
    assert not one.manifest.extends(other.manifest)
    # A batch of the same cases as the first version has another place.
    twice = frozen_in(sweep, version(GrownCases(SOME, first)))
    third = version(GrownCases(MORE, twice))
    assert third.manifest.extends(twice.manifest)
    assert not one.manifest.extends(twice.manifest)


def test_versions_with_whole_files_go_on(sweep: SweepDirectory) -> None:
    """Those of 2026-11-29 list the digests of the files that they continue, and have all lines."""
    first = frozen_in(sweep, version(GrownCases(SOME)))
    whole = version(GrownCases([*SOME, *MORE]))
    source = whole.manifest.source | {"extends": [first.manifest.cases_sha256]}
    # What is read back has the key, as what is written by `_frozen` of its source has it.
    described = sealed(replace(whole.manifest, source=source))
    second = frozen_in(sweep, Version.of(described, whole.source))
    third = frozen_in(sweep, version(GrownCases([{"d": 5}], second)))
    assert [case.params for case in third.source] == [*SOME, *MORE, {"d": 5}]
    assert third.manifest.extends(second.manifest)
    assert third.manifest.extends(first.manifest)


def test_a_version_is_whole_in_another_sweep_directory(
    sweep: SweepDirectory, tmp_path: Path
) -> None:
    """As `plan --ask` checks it, and `run` runs a case of it."""
    first = frozen_in(sweep, version(GrownCases(SOME)))
    second = frozen_in(sweep, version(GrownCases(MORE, first)))
    grown = version(GrownCases([{"d": 5}], second))
    for each in (second, grown):
        there = SweepDirectory.create(tmp_path / f"t{each.fingerprint}", "s")
        read = frozen_in(there, each)
        expected = [case.params for case in each.source]
        assert [case.params for case in read.source] == expected
        assert frozen_in(there, first).source.params(0) == SOME[0]
    assert {name for name in names(there.manifest_root) if name.startswith(".")} == set()


@pytest.mark.parametrize(
    "segments",
    [
        3,
        [["../elsewhere", 2, "00"]],
        [["0" * 16, 0, "00"]],
        [["0" * 16, 2, "00"], ["1" * 16, 2, "00"]],
        [["0" * 16, 2]],
        [["0" * 16, "2", "00"]],
    ],
)
def test_damaged_segments_are_refused(sweep: SweepDirectory, segments: Any) -> None:
    first = frozen_in(sweep, version(GrownCases(SOME)))
    source = first.manifest.source | {"segments": segments}
    with pytest.raises(SourceError, match="segments"):
        FileCases(sweep.manifest_dir(first.fingerprint), source)


def test_a_lost_segment_is_said_when_it_is_read(sweep: SweepDirectory) -> None:
    first = frozen_in(sweep, version(GrownCases(SOME)))
    second = frozen_in(sweep, version(GrownCases(MORE, first)))
    (sweep.manifest_dir(first.fingerprint) / "cases.jsonl").unlink()
    read = SweepDirectory.open(sweep.path).version(second.fingerprint).source
    assert read[2].params == MORE[0]
    with pytest.raises(SweepError, match="cannot be read: No such file"):
        _ = read[1]


def test_changed_cases_of_an_earlier_version_are_refused(sweep: SweepDirectory) -> None:
    first = frozen_in(sweep, version(GrownCases(SOME)))
    second = version(GrownCases(MORE, first))
    path = sweep.manifest_dir(first.fingerprint) / "cases.jsonl"
    lines = path.read_text()
    path.write_text(lines.replace("1", "7"))  # of the same size, which reading a case checks
    with pytest.raises(SweepError, match="was changed"):
        sweep.freeze(second)
    path.write_text(lines)
    sweep.freeze(second)


def test_earlier_indices_are_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = MadeSweep(tmp_path, GrownCases(SOME))
    last = frozen_in(made.directory, version(GrownCases(SOME)))
    grown = version(GrownCases(MORE, last))
    monkeypatch.setattr(SweepDirectory, "newest", lambda _: last)
    monkeypatch.setattr(SweepDirectory, "submissions", lambda _: [1])

    def looked_up(self: Any, index: int) -> ParamCase:
        raise AssertionError(f"case {index} of {self} is read")

    monkeypatch.setattr(LineCases, "_case", looked_up)
    monkeypatch.setattr(FileCases, "__iter__", lambda self: looked_up(self, 0))
    found = difference(made.directory, grown)
    assert found is not None
    assert (found.old, found.new, found.kept) == (2, 4, 2)
    some = IndexSet.of([1])
    assert in_order_of(grown, made.directory, last.fingerprint, [some]) == [some]


def test_a_batch_of_calls_costs_its_own_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Version] = []

    def submit(self: Sweep, **_: Any) -> None:
        """Freeze only."""
        self._submitted = calls.created()
        self._submitted.freeze(self._version)
        sent.append(self._version)

    def newest(self: SweepDirectory) -> Version:
        return SweepDirectory.open(self.path).version(sent[-1].fingerprint)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Sweep, "submit", submit)
    monkeypatch.setattr(SweepDirectory, "newest", newest)
    calls = CallSweep("calls", tmp_path, manifest_keys({}), {"cluster": "emulated"})
    calls.created()
    for batch in range(3):
        indices = [
            calls.add(CallPickles(function="f", code=b"", arguments=b"%d" % more), None)
            for more in range(2)
        ]
        calls.submit(indices, None if batch < 2 else 7)
        assert len(lines_of(calls.created(), sent[-1])) == 2
    assert [one.source.n_cases for one in sent] == [2, 4, 6]
    assert sent[2].manifest.extends(sent[0].manifest)
    assert sent[2].manifest.extends(sent[1].manifest)
    assert sent[2].manifest.chunk == 7
    calls.submit([0], None)  # of calls that are there: the cases stay as they are
    assert sent[3].manifest.source == sent[2].manifest.source
