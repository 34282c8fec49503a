"""`logs -f`: what a running case writes, until it has ended, through a requeue."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.support import clusters
from tests.support.clusters import EmulatedCluster
from tests.support.project import CLI_S, Project
from tests.support.wait import wait_until

emulated = clusters.emulated

# Writes a line for each file `go-N` that appears.
TARGET = """\
import time
from pathlib import Path

HERE = Path(__file__).parent


def run(x, log):
    for step in range(1, 4):
        while not (HERE / f"go-{step}").exists():
            time.sleep(0.02)
        log.info(f"logged {step} of {x}")
        print(f"printed {step}", flush=True)
    if x == 1:
        raise ValueError("no good")
"""


class Follower:
    """A `logs -f` in a process of its own."""

    def __init__(self, project: Project, case: int) -> None:
        self.running = project.start("logs", "-f", project.name, str(case))
        self.text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.running.stdout is not None
        for line in self.running.stdout:
            self.text += line

    def wait_for(self, *words: str) -> None:
        """Wait until it has printed all of these words."""
        wait_until(
            lambda: all(word in self.text for word in words) or self.text, CLI_S, f"shows {words}"
        )

    def end(self) -> str:
        """Wait for its end, and return what it printed."""
        with self.running:
            assert self.running.wait(CLI_S) == 0
            self._reader.join()
            assert self.running.stderr is not None
            assert self.running.stderr.read() == ""
        return self.text


def test_a_case_is_followed_through_a_requeue(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path, 1, target=TARGET, requeue=True)
    project.submit()
    follower = Follower(project, 0)
    (tmp_path / "go-1").touch()
    follower.wait_for("logged 1 of 0", "printed 1", "attempt 1 (submission 1)")
    emulated.run("scontrol", "requeue", f"{project.job()}_0")
    follower.wait_for("attempt 2 (submission 1)")
    for step in (2, 3):
        (tmp_path / f"go-{step}").touch()
    text = follower.end()
    assert "index 0: complete\n" in text
    # Both attempts logged the first line, each of them once; nothing else came twice.
    assert text.count("logged 1 of 0") == text.count("printed 1\n") == 2
    assert text.count("logged 2 of 0") == text.count("printed 3\n") == 1
    assert text.count("==> ") >= 4


def test_it_ends_with_a_case_that_failed_and_before_one_that_nobody_has(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path, 3, target=TARGET, runs="packed", chunk=1)
    project.submit("--cases", "0-1")
    follower = Follower(project, 1)
    follower.wait_for("index 1: ")
    for step in (1, 2, 3):
        (tmp_path / f"go-{step}").touch()
    text = follower.end()
    assert "index 1: failed: error\n" in text
    # Of a packed run the files come at its end.
    assert text.count("logged 3 of 1") == 1
    assert "ValueError: no good" in text
    assert project.cli("logs", "-f", "sweep", "2").stdout == "index 2: unsubmitted\n"
    said = project.cli("logs", "-f", "sweep", "--cases", "0-1", code=2).stderr
    assert "--follow is for one case" in said
