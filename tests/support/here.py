"""A user in a directory: files, and the command line called in this process, which is quick."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner, Result

from hpcsweep.cli import main
from hpcsweep.state import status
from tests.support.clusters import INGEST_LATER, Cluster, EmulatedCluster

GOOD = "name: s\ntarget: t.py:f\nsource: {grid: {x: [1, 2]}}\n"
TARGET = "def f(x):\n    return {'y': 2 * x}\n"
# Caches of commands: they may change at any time.
DERIVED = {"store.sqlite3", "store.sqlite3-journal", "cluster.json", ".cluster.lock", ".claims"}

Picture = dict[str, tuple[int, bytes]]


def picture(path: Path) -> Picture | None:
    """Modes and contents of all files below a directory, without caches; None if it is missing."""
    if not path.exists():
        return None
    paths = (one for one in sorted(path.rglob("*")) if one.name not in DERIVED)
    return {
        str(one.relative_to(path)): (
            one.lstat().st_mode,
            one.read_bytes() if one.is_file() else b"",
        )
        for one in paths
    }


def holds(message: str, *words: str) -> None:
    """Fail unless a message has all of these words."""
    assert [word for word in words if word not in message] == [], message


def _refuse_to_exec(*arguments: object) -> NoReturn:
    """Fail: the test's process would become the program of a case."""
    raise AssertionError(f"exec {arguments[:2]}: start this command in a process of its own")


@dataclass(frozen=True)
class Here:
    """A user's directory, in which this process is, with a cluster at hand."""

    path: Path
    patch: pytest.MonkeyPatch
    cluster: Cluster

    @classmethod
    def settle(cls, cluster: Cluster, path: Path, patch: pytest.MonkeyPatch) -> Here:
        """Go to `path`, which gets a good manifest `m.yaml` of a sweep `s`, and a target `t.py`."""
        patch.chdir(path)
        for name, value in cluster.env(**INGEST_LATER).items():
            # The programs of the emulated cluster are not on a user's PATH.
            if name != "PATH" and os.environ.get(name) != value:
                patch.setenv(name, value)
        # Poll often: these sweeps take a tenth of a second.
        patch.setattr(status, "POLL_S", (0.1,) * len(status.POLL_S))
        user = cls(path, patch, cluster)
        user.write("m.yaml", GOOD)
        user.write("t.py", TARGET)
        return user

    @property
    def sweep(self) -> Path:
        """The directory of the sweep `s`."""
        return self.path / "outputs/s"

    def write(self, name: str, content: str | bytes) -> Path:
        """A file of the user's."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def cli(self, *arguments: str, code: int | None = None) -> Result:
        """Call the command line; whatever happens, there is no traceback."""
        with self.patch.context() as patch:
            patch.setattr(os, "execve", _refuse_to_exec)
            result = CliRunner().invoke(main, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, f"{arguments}: {result.output}"
        return result

    def does(self, *arguments: str) -> str:
        """What a call prints that must succeed."""
        return self.cli(*arguments, code=0).stdout

    def finishes(self, manifest: str = "m.yaml") -> None:
        """Submit, and wait for every case and task."""
        self.does("submit", manifest, "--wait")
        self.tasks_end()

    def tasks_end(self) -> None:
        """Wait for the tasks of every sweep: each writes a record after its last case."""
        for sweep in (self.path / "outputs").glob("*/sweep.json"):
            marker = json.loads(sweep.read_bytes())
            for job in self.cluster.arrays(f"{marker['name']}.{marker['key'][:8]}."):
                self.cluster.wait_over(job)

    def refuses(self, code: int, *arguments: str) -> str:
        """The message of a call that must fail with `code` and leave `outputs` as it was."""
        before = picture(self.path / "outputs")
        result = self.cli(*arguments, code=code)
        message = f"{arguments}: {result.output}"
        assert result.stdout == "", message
        after = picture(self.path / "outputs")
        if before is not None and after is not None:
            changed = [one for one in before | after if before.get(one) != after.get(one)]
            assert changed == [], message
        assert after == before, message
        if code != 2:  # click's own form for a wrong command line
            assert result.stderr.startswith("hpcsweep: "), message
            assert result.stderr.count("hpcsweep: ") == 1, message
        return result.stderr

    def rows(self, name: str = "s") -> list[dict[str, Any]]:
        """The rows of `collect --format jsonl`."""
        text = self.does("collect", name, "--format", "jsonl")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def here(emulated: EmulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """A user with the emulated cluster."""
    return Here.settle(emulated, tmp_path, monkeypatch)


@pytest.fixture
def there(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """A user with each of the two clusters in turn."""
    return Here.settle(cluster, tmp_path, monkeypatch)
