"""What the loggers below `hpcsweep` say, who hears it, and that nobody does by default."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import commands, main
from hpcsweep.cluster.process import run
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status
from hpcsweep.state.outlook import Group, Outlook, State
from hpcsweep.submission.request import Submitted
from hpcsweep.sweep import submitting as door
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.scripted import World

TOY = """\
import logging

import click

from hpcsweep.cli.options import common


@click.command("toy")
@common
def command(**shared):
    log = logging.getLogger("hpcsweep.toy")
    log.info("sent to postgresql://me:secret@host/db")
    log.debug("a detail")
"""
INFO = "INFO hpcsweep.toy: sent to postgresql://me:***@host/db"
DEBUG = "DEBUG hpcsweep.toy: a detail"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Call a command that logs; the lines of its standard error without their time."""
    (tmp_path / "logging_toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(commands.COMMANDS, "toy", ("logging_toy", "Log."))

    def call(*arguments: str) -> list[str]:
        done = CliRunner().invoke(main, ["toy", *arguments])
        assert (done.exit_code, done.stdout) == (0, "")
        return [line.split(" ", 2)[2] for line in done.stderr.splitlines()]

    return call


def test_a_command_logs_only_on_request(toy: Callable[..., list[str]]) -> None:
    assert toy() == []
    assert toy("-v") == [INFO]
    assert toy("-vv") == [INFO, DEBUG]
    assert toy() == []
    handlers = logging.getLogger("hpcsweep").handlers
    assert [one for one in handlers if not isinstance(one, logging.NullHandler)] == []


def test_a_log_file_has_everything_and_grows(toy: Callable[..., list[str]], tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert toy("--log-file", str(path)) == []
    assert toy("-v", "--log-file", str(path)) == [INFO]
    assert [line.split(" ", 2)[2] for line in path.read_text().splitlines()] == 2 * [INFO, DEBUG]


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["validate", "m.yaml", "--log-file", f"{tmp_path}/no/log"])
    assert done.exit_code == 5
    assert f"hpcsweep: {tmp_path}/no/log: No such file or directory\n" in done.stderr


def test_a_program_is_logged_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "hpcsweep")
    run(["echo", "postgresql://me:secret@host/db"], os.environ, 10.0)
    assert caplog.messages[0] == "starting echo postgresql://me:***@host/db"
    assert caplog.messages[1].startswith("echo: exit code 0 after ")


def test_polls_and_what_comes_of_them_are_logged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World(tmp_path, monkeypatch)
    caplog.set_level(logging.DEBUG, "hpcsweep.state")
    world.poll()
    world.cluster.down = True
    world.poll(61.0)
    assert "squeue answered about jobs 100" in caplog.messages
    assert caplog.messages[-1].startswith("squeue did not answer: ")
    assert capfd.readouterr().err == ""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hs.Sweep:
    """A sweep whose `submit` and `cancel` have something to say."""
    directory = SweepDirectory.create(tmp_path / "s", "s")

    def submit(_wish: Any, _cluster: Any, _settings: Any, say: Callable[[str], None]) -> Submitted:
        say("an earlier submit was cut off; waiting 150 s")
        stale = Group(indices=IndexSet.all(2), state=State.STALE, status=Status.COMPLETE)
        version: Any = None
        return Submitted(sweep=directory, outlook=Outlook(version=version, groups=(stale,)))

    def cancel(
        _sweep: Any, _cluster: Any, _settings: Any, say: Callable[[str], None]
    ) -> hs.Cancelled:
        say("waiting for another submit")
        return hs.Cancelled(name="s")

    monkeypatch.setattr(door, "submit_stages", submit)
    monkeypatch.setattr(door, "cancel", cancel)
    monkeypatch.setattr(hs.Sweep, "_target_cluster", lambda *_: None)
    monkeypatch.setattr(hs.Sweep, "_recorded_cluster", None)
    return hs.Sweep("s", hs.grid(x=[1]), target="math:sqrt")


WAITING = "an earlier submit was cut off; waiting 150 s"
STALE = (
    "2 of 2 complete cases were computed with other code (indices 0, 1); --rerun stale computes "
    "them again"
)
NOTICES = [WAITING, STALE]


def test_the_python_interface_prints_the_notices_of_the_command(
    sweep: hs.Sweep, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hpcsweep")
    sweep.submit()
    assert capsys.readouterr().err.splitlines() == NOTICES
    assert caplog.messages == NOTICES
    heard: list[str] = []
    sweep.submit(notify=heard.append)
    assert heard == NOTICES
    sweep.cancel(notify=heard.append)
    assert heard[2:] == ["waiting for another submit"]
    sweep.retry(notify=None)
    assert capsys.readouterr().err == ""


def test_the_python_interface_reports_why_tasks_wait(
    sweep: hs.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = hs.Summary(
        name="s",
        path="s",
        manifest="",
        n_cases=0,
        counts={},
        reasons={},
        unsubmitted=0,
        tasks={"PENDING": 1},
        waiting={"JobHeldUser": 1},
        asked_s_ago=None,
        problem="this is the cluster beta, the tasks are on alpha",
        torn={},
        submissions=1,
    )

    def wait(_sweep: Any, _cluster: Any, _settings: Any, show: Any, _checks: Any) -> hs.Summary:
        show(summary)
        show(summary)
        return summary

    monkeypatch.setattr(door, "wait", wait)
    monkeypatch.setattr(hs.Sweep, "_directory", None)
    heard: list[str] = []
    sweep.wait(notify=heard.append)
    assert heard == [*summary.stuck, f"the cluster could not be asked: {summary.problem}"]
    assert len(heard) == 2


def test_submit_checks_the_value_of_rerun(sweep: hs.Sweep) -> None:
    with pytest.raises(hs.InputError, match="Known are stale, failed, lost, all and None"):
        sweep.submit(rerun="most")
