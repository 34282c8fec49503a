"""Fixtures for the tests of the manifest: a text, its frozen form, its mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import ManifestError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies, Search
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sweepdir.version import Version

Write = Callable[[str], Path]
Load = Callable[[str], FrozenManifest]
# Sets `name`, `target` and `source`, in the lines 1 to 3; the tests begin in line 4.
GOOD = (
    "name: oscillator\ntarget: osc.py:simulate\nsource: {grid: {omega: [1.0, 2.0], dt: [1e-3]}}\n"
)


# Every key, each with another value than its default.
FULL = """\
name: oscillator
target: osc.py:simulate        # beside the manifest
source:
  grid: {omega: [1.0, 2.0, 3.0], dt: [1e-2, 1e-3]}
replicates: 3
seed: 42
setup:
  - module load gcc/12
  - 'export A="b: $c" # trusted'
slurm: {partition: short, time: "00:30:00", mem: 2G, cpus-per-task: 2, exclusive: true, hold: false}
chunk: 7
store: sqlite
runs: none
case_timeout: 1.5
share: private
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a manifest beside a target; gives its path."""

    def write(text: str, name: str = "m.yaml") -> Path:
        (tmp_path / "osc.py").touch()
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def load(write: Write) -> Load:
    """The frozen form of a manifest's text."""
    return lambda text: load_manifest(write(text))[0]


@pytest.fixture
def mistakes(write: Write) -> Callable[..., list[str]]:
    """All mistakes of a manifest's text, without the directory."""

    def mistakes(text: str, **more: Any) -> list[str]:
        path = write(text)
        with pytest.raises(ManifestError) as caught:
            load_manifest(path, **more)
        assert caught.value.where == str(path)
        return [mistake.replace(f"{path.parent}/", "") for mistake in caught.value.mistakes]

    return mistakes


def search_of(version: Version) -> Search:
    """The search of a version that has one."""
    search = Policies.from_json(version.manifest.policies).search
    assert search is not None
    return search
