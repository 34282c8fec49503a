"""The frozen manifest: written whole, read back, never changed, and light to read."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import files
from hpcsweep.errors import SweepError
from hpcsweep.manifest import freezing, frozen
from hpcsweep.manifest.frozen import (
    Cache,
    FrozenManifest,
    SetupLine,
    Target,
    TaskInterpreter,
    sealed,
)
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import CaseNeeds, Resources
from hpcsweep.sources import ParameterSource, grid, manual
from hpcsweep.sources.kept import INLINE_MAX
from hpcsweep.submission import submit
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version
from tests.support.sweeps import MadeSweep

FUNCTION = Target(file="osc.py", function="simulate")


def make(**changes: Any) -> FrozenManifest:
    """A sealed manifest over a small grid."""
    values: dict[str, Any] = {
        "name": "x",
        "root": "/home/me",
        "target": FUNCTION,
        "source": grid(a=[1, 2.0]).to_frozen_dict(),
        "replicates": 2,
        "seed": -(2**100),
        "setup": (SetupLine(text="module load é", where="m.yaml:3"),),
        "resources": Resources(options={"mem": "1G", "exclusive": ""}),
        "chunk": 3,
        "runs": "none",
        "case_timeout_s": 1.5,
        "share": "group",
    }
    return sealed(FrozenManifest(**(values | changes)))


def explicit(
    tmp_path: Path, cases: str = "[{a: 1}, {a: 2, b: x}]"
) -> tuple[FrozenManifest, ParameterSource]:
    """A manifest of explicit cases."""
    path = tmp_path / "m.yaml"
    path.write_text(f"name: x\ntarget: pack:f\nreplicates: 2\nsource: {{manual: {cases}}}\n")
    return load_manifest(path)


def test_every_field_has_a_comment() -> None:
    source = Path(frozen.__file__).read_text()
    for record in (SetupLine, Target, FrozenManifest):
        body = source.split(f"class {record.__name__}:")[1].split("\n\n\n")[0]
        for field in dataclasses.fields(record):
            assert re.search(rf"    # .+\n    {field.name}: ", body), field.name


@pytest.mark.parametrize(
    "manifest",
    [
        make(),
        make(target=Target(module="pack.mod", function="A.b")),
        make(target=Target(argv=("./sim", "{a}", "")), chunk=None, case_timeout_s=None),
        make(
            cache=Cache(results_dir="r", result_cls=FUNCTION, db_url="PG", custom_data={"a": [1]})
        ),
        make(
            interpreter=TaskInterpreter(
                python="p", where="m:1", container="/i", container_args=("a",)
            )
        ),
        make(setup=(SetupLine(text="gcc/12", where="m:1", kind="module"),)),
        sealed(FrozenManifest(name="x", root="/", target=FUNCTION, source={})),
    ],
)
def test_json_and_back(manifest: FrozenManifest) -> None:
    document = json.loads(files.json_bytes(frozen.to_json(manifest)))
    assert frozen.from_json(document) == manifest
    assert sealed(frozen.from_json(document)) == manifest


@pytest.mark.parametrize(
    ("target", "is_command", "text"),
    [
        (FUNCTION, False, "osc.py:simulate"),
        (Target(module="pack.mod", function="A.b"), False, "pack.mod:A.b"),
        (Target(argv=("./sim", "--a={a}", "x y")), True, "./sim '--a={a}' 'x y'"),
    ],
)
def test_targets_as_the_user_wrote_them(target: Target, is_command: bool, text: str) -> None:
    assert (target.is_command, target.text) == (is_command, text)


def test_the_fingerprint_changes_with_every_field() -> None:
    changes: list[dict[str, Any]] = [
        {"name": "y"},
        {"root": "/home/you"},
        {"target": Target(file="osc.py", function="other")},
        {"source": grid(a=[1, 2]).to_frozen_dict()},  # 2 and 2.0 have one id and two types
        {"replicates": 3},
        {"seed": 1},
        {"setup": ()},
        {"resources": Resources(options={"mem": "1G"})},
        {"chunk": None},
        {"store": "other"},
        {"runs": "all"},
        {"case_timeout_s": None},
        {"share": "private"},
        {"cases_sha256": "0" * 64},
        {"cache": Cache(results_dir="r")},
        {"policies": {"retry": {}}},
        {"needs": CaseNeeds(slots=2)},
        {"snapshot": None},
        {"isolation": "task"},
        {"inputs": ("a",)},
        {"fixed": {"data": "a.npy"}},
        {"ok_if": "x > 1"},
        {"mode": "node"},
        {"mode": "node", "nodes": 3},
        {"interpreter": TaskInterpreter(python="python3", where="m.yaml:1")},
    ]
    # Where a task finds the code is no field of the file.
    assert {name for change in changes for name in change} | {"fingerprint", "code_root"} == {
        field.name for field in dataclasses.fields(FrozenManifest)
    }
    found = {make(**change).fingerprint for change in changes} | {make().fingerprint}
    assert len(found) == len(changes) + 1
    assert all(re.fullmatch("[0-9a-f]{16}", fingerprint) for fingerprint in found)
    # Pinned: directories that exist are found by it.
    assert make().fingerprint == "5aa69e7c40daaa3c"


def test_write_read_and_open(tmp_path: Path) -> None:
    manifest, source = explicit(tmp_path)
    directory = freezing.write(tmp_path / "sweep", manifest, source)
    assert directory == tmp_path / "sweep" / "manifests" / manifest.fingerprint
    assert files.names(directory) == ["cases.idx", "cases.jsonl", "sweep.json"]
    assert frozen.read(directory) == manifest
    freezing.check_cases(directory, manifest)
    assert list(frozen.open_source(directory, manifest)) == list(source)
    assert len(source) == 4


def test_a_grid_needs_one_file_only(tmp_path: Path) -> None:
    directory = freezing.write(tmp_path, make(), grid(a=[1, 2.0]))
    assert files.names(directory) == ["sweep.json"]
    source = frozen.open_source(directory, frozen.read(directory))
    assert [(case.params, case.replicate) for case in source] == [
        ({"a": 1}, 0),
        ({"a": 1}, 1),
        ({"a": 2.0}, 0),
        ({"a": 2.0}, 1),
    ]
    assert type(source[0].params["a"]) is int
    assert type(source[2].params["a"]) is float


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    manifest, source = explicit(tmp_path)
    directory = freezing.write(tmp_path, manifest, source)
    before = {path.name: path.stat() for path in directory.iterdir()}
    assert freezing.write(tmp_path, manifest, source) == directory
    assert {path.name: path.stat() for path in directory.iterdir()} == before
    # The one that is open for reading is a source, too.
    again = freezing.write(tmp_path / "b", manifest, frozen.open_source(directory, manifest))
    assert files.names(again.parent) == [manifest.fingerprint]
    assert files.names(directory.parent) == [manifest.fingerprint]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_a_site_purged_is_written_again(tmp_path: Path, count: int) -> None:
    """Any of the files: those that were read lately are left, and directories."""
    cases = [{"x": i, "y": i * i % 7} for i in range(INLINE_MAX + 1)]
    source = manual(cases).where("x > y")
    described, digest = source.frozen()
    manifest = make(source=described, cases_sha256=digest, replicates=1)
    directory = freezing.write(tmp_path, manifest, source)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert len(before) == 4
    for purged in itertools.combinations(before, count):
        for name in purged:
            (directory / name).unlink()
        assert freezing.missing_files(directory, manifest) == set(purged)
        left = {name: (directory / name).stat() for name in set(before).difference(purged)}
        freezing.write(tmp_path, manifest, source)
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
        assert {name: (directory / name).stat() for name in left} == left
        assert files.names(directory.parent) == [directory.name]
    shutil.rmtree(directory)
    with pytest.raises(SweepError) as caught:
        frozen.read(directory)
    assert "`hpcsweep submit` with the same manifest writes it again" in str(caught.value)
    freezing.write(tmp_path, manifest, source)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


class Killed(BaseException):
    """In place of a kill."""


@pytest.mark.parametrize("links", [0, 1, 2])
def test_a_kill_while_purged_files_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: int
) -> None:
    manifest, source = explicit(tmp_path)
    directory = freezing.write(tmp_path, manifest, source)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    for name in before:
        (directory / name).unlink()
    (directory / "other").touch()  # of the site: not an empty directory
    made: list[str] = []
    real = os.link

    def link(old: Path, new: Path) -> None:
        if new.parent == directory:
            if len(made) == links:
                raise Killed
            made.append(new.name)
        real(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", link)
        patch.setattr(files, "remove_tree", lambda _: None)  # what is killed removes nothing
        with pytest.raises(Killed):
            freezing.write(tmp_path, manifest, source)
    assert freezing.missing_files(directory, manifest) == set(sorted(before)[links:])
    freezing.write(tmp_path, manifest, source)
    assert {name: (directory / name).read_bytes() for name in before} == before


def test_a_changed_manifest_lies_beside_the_old_one(tmp_path: Path) -> None:
    first, second = make(), make(seed=2)
    source = grid(a=[1, 2.0])
    directories = [freezing.write(tmp_path, manifest, source) for manifest in (first, second)]
    assert [frozen.read(directory) for directory in directories] == [first, second]


def test_many_at_once_write_one(tmp_path: Path) -> None:
    manifest, source = explicit(tmp_path)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(freezing.write(tmp_path, manifest, source)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "manifests" / manifest.fingerprint] * 8
    assert files.names(tmp_path / "manifests") == [manifest.fingerprint]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, source = explicit(tmp_path)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:1])
        raise SweepError("cannot be written: No space left on device", where=str(path))

    monkeypatch.setattr(files, "write_new", full)
    with pytest.raises(SweepError, match="No space left"):
        freezing.write(tmp_path, manifest, source)
    assert files.names(tmp_path / "manifests") == []


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "manifests").touch()
    with pytest.raises(SweepError, match="cannot be written"):
        freezing.write(tmp_path, make(), grid(a=[1]))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    manifest = make()
    directory = freezing.write(tmp_path, manifest, grid(a=[1, 2.0]))
    path = directory / "sweep.json"
    text = path.read_text()
    for broken, words in [
        (text.replace('"seed": -', '"seed": '), "was changed"),
        (text.replace("2.0", "2"), "was changed"),
        (text.replace('"format": 1', '"format": 2'), "has format 2, this program reads 1"),
        (text.replace('"name": "x",', ""), "is damaged: KeyError"),
        (text.replace('"options"', '"optoins"').replace('"where"', '"wehre"'), "is damaged"),
        (text.replace('"x"', '"x", "more": 1'), "was changed"),
        ("[]", "no JSON object"),
        (text[:100], "is not JSON"),
    ]:
        assert broken != text
        path.write_text(broken)
        with pytest.raises(SweepError, match=words) as caught:
            frozen.read(directory)
        assert caught.value.where == str(path)
        with pytest.raises(SweepError, match=words):
            freezing.write(tmp_path, manifest, grid(a=[1, 2.0]))


def test_a_directory_of_another_name_is_refused(tmp_path: Path) -> None:
    directory = freezing.write(tmp_path, make(), grid(a=[1, 2.0]))
    moved = directory.rename(directory.with_name("0" * 16))
    with pytest.raises(SweepError, match="was changed"):
        frozen.read(moved)
    with pytest.raises(SweepError, match="there is no such file"):
        frozen.read(directory)


def test_changed_cases_are_refused(tmp_path: Path) -> None:
    manifest, source = explicit(tmp_path)
    directory = freezing.write(tmp_path, manifest, source)
    path = directory / "cases.jsonl"
    path.write_text(path.read_text().replace("1", "7"))
    # A task reads its own cases alone, so this one does not look at them all.
    assert frozen.read(directory) == manifest
    with pytest.raises(SweepError, match="was changed"):
        freezing.check_cases(directory, manifest)
    with pytest.raises(SweepError, match="was changed"):
        freezing.write(tmp_path, manifest, source)
    path.unlink()
    with pytest.raises(SweepError, match="cannot be read"):
        freezing.check_cases(directory, manifest)
    os.mkfifo(path)  # nobody writes to it: whoever opened it would wait
    with pytest.raises(SweepError, match="not a regular file"):
        freezing.check_cases(directory, manifest)


@pytest.mark.parametrize("offsets", [b"", b"\0" * 16, b"\0" * 20, None])
def test_offsets_of_other_cases_are_refused(tmp_path: Path, offsets: bytes | None) -> None:
    manifest, source = explicit(tmp_path)
    path = freezing.write(tmp_path, manifest, source) / "cases.idx"
    path.unlink() if offsets is None else path.write_bytes(offsets)
    with pytest.raises(SweepError):
        frozen.open_source(path.parent, manifest)


def test_a_source_of_other_cases_is_refused(tmp_path: Path) -> None:
    manifest, _ = explicit(tmp_path)
    _, other = explicit(tmp_path, "[{a: 3}]")
    with pytest.raises(SweepError):
        freezing.write(tmp_path, manifest, other)
    directory = tmp_path / "manifests" / manifest.fingerprint
    (directory / "cases.jsonl").unlink()
    with pytest.raises(SweepError):
        freezing.write(tmp_path, manifest, other)
    assert files.names(directory) == ["cases.idx", "sweep.json"]


def test_frozen_records_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().seed = 2  # type: ignore[misc]
    assert replace(make(), seed=make().seed) == make()


def test_reading_loads_the_standard_library_alone(tmp_path: Path) -> None:
    manifest, source = explicit(tmp_path)
    directory = freezing.write(tmp_path, manifest, source)
    code = (
        "import sys; from pathlib import Path; from hpcsweep.manifest import freezing, frozen\n"
        f"d = Path({str(directory)!r}); m = frozen.read(d)\n"
        "print(frozen.open_source(d, m)[3].params, len(m.fingerprint))\n"
        "heavy = {'yaml', 'pydantic', 'numpy', 'click', 'sqlalchemy', 'jinja2', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["{'a': 2, 'b': 'x'} 16", "[]"]


@pytest.mark.parametrize("name", ["sweep.json", "cases.jsonl", "cases.idx"])
def test_a_submit_asks_for_each_file_of_the_newest_version(tmp_path: Path, name: str) -> None:
    source = manual([{"x": 1}, {"x": 2}])
    made = MadeSweep(tmp_path, source, cases_sha256=source.frozen()[1])
    made.plan()
    directory = made.directory.manifest_dir(made.manifest.fingerprint)
    (directory / name).unlink()
    sweep = SweepDirectory.open(made.path)
    submit.restore_manifest(sweep, Version.of(made.manifest, source))
    assert files.names(directory) == ["cases.idx", "cases.jsonl", "sweep.json"]
    assert list(sweep.newest().source) == list(source)
