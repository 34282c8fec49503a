"""Explicit cases are frozen line by line: memory does not grow with their count."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcsweep.errors import SweepError
from hpcsweep.manifest import freezing, frozen
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.sources import FileCases, ParameterSource, grid, manual, table
from hpcsweep.sources.caselines import CaseLines
from tests.support import sourcing

# Share of the file that may be in memory at once; as objects the lines are larger than the file.
PEAK_SHARE = 0.25


def rows(path: Path, count: int) -> Path:
    path.write_text("i,pad\n" + "".join(f"{i},{'x' * 80}\n" for i in range(count)))
    return path


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def made(source: ParameterSource) -> FrozenManifest:
    described, digest = source.frozen()
    target = Target(module="m", function="f")
    return frozen.sealed(
        FrozenManifest(name="s", root="/", target=target, source=described, cases_sha256=digest)
    )


@pytest.fixture(params=["table", "cases in files", "manual", "several"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> ParameterSource:
    """Sources with many lines, each of another kind."""
    if request.param == "manual":
        return manual([{"i": i, "pad": "x" * 80} for i in range(20_000)])
    found: ParameterSource = table(rows(tmp_path / "cases.csv", 20_000))
    if request.param == "cases in files":
        (tmp_path / "once").mkdir()
        found = sourcing.frozen(found, tmp_path / "once")
        assert isinstance(found, FileCases)
    if request.param == "several":
        found = found * grid(k=[1, 2]) + manual([{"i": -1, "pad": "", "k": 0}])
    return found


def test_memory_does_not_hold_the_lines(source: ParameterSource, tmp_path: Path) -> None:
    describing = peak(source.frozen)
    manifest = made(source)
    writing = peak(lambda: freezing.write(tmp_path / "s", manifest, source))
    written = tmp_path / "s" / "manifests" / manifest.fingerprint / "cases.jsonl"
    assert max(describing, writing) < PEAK_SHARE * written.stat().st_size
    assert hashlib.sha256(written.read_bytes()).hexdigest() == manifest.cases_sha256
    again = frozen.open_source(written.parent, manifest)
    assert again[source.n_cases - 1] == source[source.n_cases - 1]


def test_without_explicit_cases_no_file_is_made(tmp_path: Path) -> None:
    grid(x=[1, 2]).write_frozen(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert grid(x=[1, 2]).frozen()[1] is None


def test_lines_without_a_file_are_only_counted() -> None:
    lines = CaseLines()
    assert lines.sha256 is None
    assert [lines.add([b"a\n", b"b\n"]), lines.add([b"c\n"])] == [0, 2]
    assert lines.sha256 == hashlib.sha256(b"a\nb\nc\n").hexdigest()


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text("mine")
    with pytest.raises(SweepError, match="cannot be written: File exists"):
        manual([{"x": 1}]).write_frozen(tmp_path)
    assert (tmp_path / "cases.jsonl").read_text() == "mine"


@pytest.mark.parametrize("piece", ["cases.jsonl", "cases.idx"])
def test_a_full_disk_leaves_no_manifest(piece: str, tmp_path: Path) -> None:
    """The limit on a file's size stands for it: both end in an error of write(2)."""
    source = table(rows(tmp_path / "cases.csv", 20_000))
    manifest = made(source)
    limit = 1_000_000 if piece == "cases.jsonl" else 100_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(SweepError, match="cannot be written: File too large"):
            freezing.write(tmp_path / "s", manifest, source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "s" / "manifests").iterdir()) == []


MILLION = """\
import resource, sys
from pathlib import Path
from hpcsweep.manifest.user import load_manifest
from hpcsweep.manifest import freezing, frozen

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
manifest, source = load_manifest(Path(sys.argv[1]))
freezing.write(Path(sys.argv[2]), manifest, source)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.soak
def test_a_million_cases_cost_little_memory(tmp_path: Path) -> None:
    """From the manifest to the frozen files, in a process of its own; the file has 100 MB."""
    rows(tmp_path / "cases.csv", 1_000_000)
    (tmp_path / "model.py").touch()
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"name": "s", "target": "model.py:f", "source": {"table": "cases.csv"}}')
    argv = [sys.executable, "-c", MILLION, str(manifest), str(tmp_path / "s")]
    kilobytes = int(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert kilobytes < 120_000
