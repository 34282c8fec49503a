"""Notifications about a sweep: each is sent once, by a command or by mail."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Notify, Policies
from hpcsweep.records import Reason
from hpcsweep.sources import grid
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.paused import paused
from hpcsweep.state.stopped import Stopped
from hpcsweep.submission import notification
from hpcsweep.submission.notification import Event, event_of, notify_once
from hpcsweep.submission.request import Submitted
from hpcsweep.sweepdir import notices
from hpcsweep.sweepdir.version import Version
from tests.support.sweeps import MadeSweep
from tests.unit.test_advance_policy import group

TOLD = "s is complete: 4 cases"


def made(root: Path, notify: Notify | None = None) -> MadeSweep:
    policies = Policies(notify=notify).to_json()
    return MadeSweep(root, grid(x=[0, 1, 2, 3]), policies=policies)


def done(sweep: MadeSweep, *groups: Any, **more: Any) -> Submitted:
    """The result of an `advance`; complete if no groups are named."""
    version = Version.of(sweep.manifest, sweep.source)
    flying = more.pop("in_flight", IndexSet())
    outlook = Outlook(version=version, groups=groups or (group("0-3"),), in_flight=flying)
    return Submitted(sweep=sweep.directory, outlook=outlook, **more)


def test_a_submission_is_short_in_a_notebook(tmp_path: Path) -> None:
    sweep = made(tmp_path)
    sweep.plan()
    plan, _ = sweep.directory.plan(1)
    assert repr(done(sweep)) == "<Submitted 's': nothing>"
    sent = done(sweep, plans=(plan,), job_ids=["12", "13"])
    assert repr(sent) == "<Submitted 's': 4 cases in jobs 12, 13>"
    many = done(sweep, plans=(plan,), job_ids=list("123456"))
    assert repr(many).endswith("in jobs 1, 2, 3, 4, 5 …>")


def test_events(tmp_path: Path) -> None:
    sweep = made(tmp_path)
    sweep.plan()
    plan, _ = sweep.directory.plan(1)
    failed = (group("0-2"), group("3", Reason.ERROR))
    stopped = Stopped(name="s", path="/s", failures=1, kind="", is_held=False, kinds=())
    table = [
        (done(sweep), (Event.COMPLETE, TOLD)),
        (
            done(sweep, *failed),
            (
                Event.STOPPED,
                "s has ended without all of its 4 cases: 3 complete, 1 failed",
            ),
        ),
        (done(sweep, *failed, plans=(plan,)), None),
        (done(sweep, *failed, in_flight=IndexSet.parse("3")), None),
        (done(sweep, *failed, without_room=IndexSet.parse("3")), None),
        (
            done(sweep, *failed, stopped=stopped),
            (Event.STOPPED, "s is stopped: 1 case failed (stop_after)"),
        ),
    ]
    assert [event_of(found) for found, _ in table] == [expected for _, expected in table]
    why = paused(sweep.directory, IndexSet.parse("3"), is_full=True)
    event, text = event_of(done(sweep, *failed, paused=why)) or (None, "")
    assert event is Event.PAUSED
    assert text.startswith("s is paused: the disk or quota of ")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def told(sweep: MadeSweep, found: Submitted | None = None) -> list[str]:
    """The notices of one `advance`."""
    said: list[str] = []
    notify_once(found or done(sweep), said.append)
    return said


def test_a_command_is_told_once_until_the_user_submits(tmp_path: Path) -> None:
    sweep = made(tmp_path, Notify(command=("./tell.sh", "--to", "$(me) ; x")))
    script(
        tmp_path / "tell.sh",
        f'printf "%s|" "$@" "$HPCSWEEP_EVENT" "$HPCSWEEP_SWEEP" "$HPCSWEEP_SUMMARY" >>'
        f" {tmp_path}/said",
    )
    said = tmp_path / "said"
    expected = f"--to|$(me) ; x|{TOLD}|complete|{sweep.path}|{TOLD}|"
    assert [told(sweep), told(sweep)] == [[], []]
    assert said.read_text() == expected
    notices.forget(sweep.path)
    assert told(sweep) == []
    assert said.read_text() == 2 * expected


def test_mail_is_sent_by_the_program_of_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = made(tmp_path, Notify(mail="me@x.org"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script(tmp_path / "mail", f'printf "%s|" "$@" > {tmp_path}/sent; wc -c >> {tmp_path}/sent')
    assert told(sweep) == []
    assert (tmp_path / "sent").read_text() == f"-s|hpcsweep: {TOLD}|me@x.org|0\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo 'no PASSWORD=abc for you' >&2; exit 3", "no PASSWORD=*** for you"),
        ("exit 3", "exit code 3"),
        ("sleep 60", "did not answer within 0.2 s"),
        ("kill -9 $$", "ended by SIGKILL"),
    ],
)
def test_a_command_that_fails_is_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    if "sleep" in text:
        monkeypatch.setattr(notification, "DEADLINE_S", 0.2)
    sweep = made(tmp_path, Notify(command=("./tell.sh",)))
    script(tmp_path / "tell.sh", text)
    (notice,) = told(sweep)
    assert notice.startswith(f"`notify` did not send that {TOLD}: ")
    assert expected in notice
    assert told(sweep) == []  # nor is it tried again


def test_a_program_that_is_missing_is_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, wanted in enumerate((Notify(command=("nonesuch",)), Notify(mail="me@x.org"))):
        monkeypatch.setenv("PATH", str(tmp_path))
        root = tmp_path / str(number)
        root.mkdir()
        (notice,) = told(made(root, wanted))
        assert "there is no nonesuch on PATH" in notice or "there is no mail on PATH" in notice
        assert ("closing: {mail-user: …, mail-type: END}" in notice) is bool(wanted.mail)


def test_what_cannot_be_noted_is_not_sent(tmp_path: Path) -> None:
    """Without a note, a second `advance` would send the message again."""
    sweep = made(tmp_path, Notify(command=("touch", f"{tmp_path}/said")))
    (sweep.path / "notices").write_text("in the way")
    (notice,) = told(sweep)
    assert "cannot be written" in notice
    assert not (tmp_path / "said").exists()


def test_without_the_key_nobody_is_told(tmp_path: Path) -> None:
    sweep = made(tmp_path)
    assert told(sweep, replace(done(sweep))) == []
    assert not (sweep.path / "notices").exists()
