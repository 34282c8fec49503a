"""`Sweep.append`: which version it makes, and what it refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import SourceError, SweepError
from hpcsweep.manifest import frozen
from hpcsweep.manifest.freezing import check_cases
from hpcsweep.manifest.frozen import FrozenManifest, Target, sealed
from hpcsweep.sources import ParameterSource, grid, manual, table
from hpcsweep.sources.caselines import ONLY_HERE
from hpcsweep.submission.appending import with_appended
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import restore_manifest
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version


def described(source: ParameterSource, **keys: Any) -> Version:
    """The version of a manifest with these cases."""
    keys_of, digest = source.frozen()
    manifest = FrozenManifest(name="s", root="/", target=Target(argv=("true",)), source=keys_of)
    manifest = sealed(replace(manifest, cases_sha256=digest, **keys))
    return Version.of(manifest, source.repeat(manifest.replicates))


class Growing:
    """A sweep to which versions are appended, as if each were submitted."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = SweepDirectory.create(path / "s", "s")
        self.newest: Version | None = None
        monkeypatch.setattr(
            SweepDirectory, "submissions", lambda _: [] if self.newest is None else [1]
        )
        monkeypatch.setattr(SweepDirectory, "newest", lambda _: self.newest)
        monkeypatch.setattr(
            SweepDirectory, "newest_manifest", lambda _: self.newest and self.newest.fingerprint
        )

    def append(self, version: Version, cases: list[Any]) -> Version:
        """The version that `append` would submit."""
        path = self.directory.path
        request = SubmitRequest(
            manifest=version.manifest, source=version.source, path=path, appended=cases
        )
        made = with_appended(request, self.directory).version
        self.directory.freeze(made)
        self.newest = SweepDirectory.open(path).version(made.fingerprint)
        return self.newest


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Growing:
    return Growing(tmp_path, monkeypatch)


def params(version: Version) -> list[dict[str, Any]]:
    return [case.params for case in version.source]


def test_a_case_is_appended_once(growing: Growing) -> None:
    first = described(manual([{"x": 1}, {"x": 2}], tags=["mine"]))
    assert params(growing.append(first, [{"x": 3}, {"x": 1}])) == [{"x": 1}, {"x": 2}, {"x": 3}]
    # What another program has appended stays, although this one describes the first cases.
    again = growing.append(first, [{"x": 3.0}, {"x": 4}, {"y": 1}])
    assert params(again) == [{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}, {"y": 1}]
    assert again.source.tags(3) == ("mine", "manual_3")
    assert growing.append(first, [{"x": 4}]).fingerprint == again.fingerprint
    assert growing.append(first, []).fingerprint == again.fingerprint


def test_no_case_is_appended_that_a_command_cannot_get(growing: Growing) -> None:
    first = described(manual([{"x": "a"}]), target=Target(argv=("sim", "{x}")))
    with pytest.raises(SourceError, match="a value of x, has a null character"):
        growing.append(first, [{"x": "b"}, {"x": "\0"}])


def test_options_are_those_that_are_described(growing: Growing) -> None:
    growing.append(described(manual([{"x": 1}])), [{"x": 2}])
    grown = growing.append(described(manual([{"x": 1}]), chunk=7, replicates=2), [{"x": 3}])
    assert grown.manifest.chunk == 7
    assert params(grown) == [{"x": x} for x in (1, 1, 2, 2, 3, 3)]


def test_cases_of_a_rule_or_a_table_or_a_search_are_not_appended(
    growing: Growing, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("x,name\n1,a\n2,b\n")
    rows = table(tmp_path / "rows.csv", key=["name"])
    search = described(manual([{"x": 1}]), policies={"search": {}})
    for version in (described(grid(x=[1, 2])), described(rows), search):
        with pytest.raises(SweepError, match="not listed one by one") as caught:
            growing.append(version, [{"x": 3}])
        assert "hs.grid(…) + hs.manual([…])" in caught.value.next_step
    growing.directory.freeze(described(rows))
    growing.newest = SweepDirectory.open(growing.directory.path).version(
        described(rows).fingerprint
    )
    with pytest.raises(SweepError, match="not listed one by one"):
        growing.append(described(manual([{"x": 1}])), [{"x": 3}])


@pytest.mark.parametrize("cases", [[{"x": 5}, {"x": 5}], [3], [{1: 2}], ["x"]])
def test_what_is_no_case_is_refused(growing: Growing, cases: list[Any]) -> None:
    with pytest.raises(SourceError):
        growing.append(described(manual([{"x": 1}])), cases)
    assert growing.newest is None


@pytest.mark.parametrize("name", ["cases.jsonl", "cases.idx"])
@pytest.mark.parametrize("is_changed", [False, True])
def test_advice_for_files_of_cases_is_true(growing: Growing, name: str, is_changed: bool) -> None:
    """What a manifest has is written by a submit of it; what was appended is in no manifest."""
    first = described(manual([{"x": 1}]))
    growing.directory.freeze(first)
    growing.newest = SweepDirectory.open(growing.directory.path).version(first.fingerprint)
    grown = growing.append(first, [{"x": 2}])
    directory, version = growing.directory, first.fingerprint
    for fingerprint, advice in ((version, "move it aside"), (grown.fingerprint, "from a copy")):
        file = directory.manifest_dir(fingerprint) / name
        before = file.read_bytes()
        file.write_bytes(before[:-1]) if is_changed else file.unlink()
        with pytest.raises(SweepError) as caught:
            params(SweepDirectory.open(directory.path).version(grown.fingerprint))
        assert advice in caught.value.next_step
        assert "remove" not in caught.value.next_step
        if name == "cases.jsonl":  # the offsets are checked where the cases are opened
            with pytest.raises(SweepError) as caught:
                check_cases(directory.manifest_dir(grown.fingerprint), grown.manifest)
            assert advice in caught.value.next_step
        file.write_bytes(before)
    for moved in ("cases.jsonl", "cases.idx"):
        (directory.manifest_dir(version) / moved).rename(directory.path.parent / moved)
    restore_manifest(directory, described(manual([{"x": 1}])))
    again = SweepDirectory.open(directory.path)
    assert params(again.version(grown.fingerprint)) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', None])
def test_a_damaged_record_costs_no_appended_case(growing: Growing, text: str | None) -> None:
    """No advice says to remove a file: the one of the appended cases lies beside the record."""
    first = described(manual([{"x": 1}]))
    growing.directory.freeze(first)
    growing.newest = SweepDirectory.open(growing.directory.path).version(first.fingerprint)
    directory = growing.directory.manifest_dir(growing.append(first, [{"x": 2}]).fingerprint)
    record = directory / "sweep.json"
    record.write_text(record.read_text().replace("true", "false") if text is None else text)
    with pytest.raises(SweepError) as caught:
        frozen.read(directory)
    assert "from a copy" in caught.value.next_step
    assert not {"remove", "submit"} & set(re.findall("[a-z]+", caught.value.next_step))


def test_advice_for_a_version_without_segments_is_true(tmp_path: Path) -> None:
    """Versions before 2026-11-30 have all cases, and the digests of the versions they extend."""
    source = manual([{"x": 1}, {"x": 2}])
    described_source, digest = source.frozen()
    grown = FrozenManifest(
        name="s",
        root="/",
        target=Target(argv=("true",)),
        source=described_source | {"extends": ["0" * 64]},
        cases_sha256=digest,
    )
    source.write_frozen(tmp_path)
    file = tmp_path / "cases.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    for check in (check_cases, frozen.open_source):
        with pytest.raises(SweepError) as caught:
            check(tmp_path, grown)
        assert caught.value.next_step == ONLY_HERE
