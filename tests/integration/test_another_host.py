"""What goes to another host by the user's own ssh: a real sshd, of a user with other rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.sources import grid
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from tests.support import sshd as sshd_module
from tests.support.sshd import PrivateSshd
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

sshd = sshd_module.sshd

PYTHON = "def run(x):\n    return {'y': 2 * x}\n"


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sshd: PrivateSshd) -> MadeSweep:
    """A sweep that is over, of a user from whom `far` can be reached."""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=PYTHON)
    made.plan()
    made.handed_in()
    made.run()
    (made.path / "logs").mkdir(exist_ok=True)
    (made.path / "logs/large").write_bytes(os.urandom(400_000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", sshd.env()["PATH"])
    return made


def cli(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*arguments, "--outputs", "."])
    assert done.exit_code == code, done.output
    return done


def tables(*sweeps: Path) -> list[str]:
    return [cli("collect", str(sweep), "--format", "csv").stdout for sweep in sweeps]


def test_a_copy_there_is_a_sweep_of_its_own(ended: MadeSweep, sshd: PrivateSshd) -> None:
    place = "it's $HOME; touch x"
    (sshd.home / place).mkdir()
    sshd.own(sshd.home / place)
    assert cli("copy", "s", f"far:{place}").stdout == f"copied to far:{place}/s\n"
    copy = sshd.home / place / "s"
    assert SweepDirectory.open(copy).key != ended.directory.key
    assert (copy / MARKER).stat().st_uid == (sshd.home / place).stat().st_uid
    here, there = tables(ended.path, copy)
    assert here == there
    assert not list(sshd.home.rglob("x"))
    assert "is there already" in cli("copy", "s", f"far:{place}", code=5).stderr
    # Without a directory it is in the home there.
    cli("copy", "s", "far:")
    assert (sshd.home / "s" / MARKER).is_file()


# Takes the place of rsync there: of a copy it gets so many bytes, and then nothing more.
STUCK = """\
#!/bin/sh
case "$*" in *--sender*) exec {rsync} "$@";; esac
(stdbuf -o0 head -c 250000; touch "$HOME/stuck"; exec sleep 600) | {rsync} "$@"
"""


def test_a_copy_that_was_cut_off_goes_on(ended: MadeSweep, sshd: PrivateSshd) -> None:
    usual, rsync = sshd.path, sshd.directory / "far-bin/rsync"
    rsync.parent.mkdir()
    rsync.write_text(STUCK.format(rsync=shutil.which("rsync")))
    rsync.chmod(0o755)
    sshd.login_with(f"{rsync.parent}:{usual}")
    argv = [sys.executable, "-m", "hpcsweep", "copy", "s", "far:", "--outputs", "."]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as copying:
        wait_until((sshd.home / "stuck").exists, 60, "a copy that hangs")
        sshd.drop_connections()
        _, said = copying.communicate()
    assert copying.returncode == 5
    assert "The same command goes on where it stopped." in said
    copy = sshd.home / "s"
    assert copy.is_dir()
    assert not (copy / MARKER).exists()  # so it is no sweep yet
    sshd.login_with(usual)
    assert cli("copy", "s", "far:").stdout == "copied to far:s\n"
    here, there = tables(ended.path, copy)
    assert here == there


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("impostor", "Host key verification failed"),
        ("stranger", "Host key verification failed"),
        ("deaf", "Connection refused"),
        ("no-such-host.invalid", "Could not resolve hostname"),
    ],
)
@pytest.mark.usefixtures("ended")
def test_a_host_that_cannot_be_reached(host: str, why: str) -> None:
    said = cli("copy", "s", f"{host}:", code=5).stderr
    assert why in said
    assert f"Try `ssh {host} rsync --version` first." in said


@pytest.mark.usefixtures("ended")
def test_a_host_that_has_no_rsync_or_no_room(sshd: PrivateSshd) -> None:
    usual = sshd.path
    sshd.login_with("/nowhere")
    assert "rsync" in cli("copy", "s", "far:", code=5).stderr
    sshd.login_with(usual)
    (sshd.home / "shut").mkdir(mode=0o500)
    sshd.own(sshd.home / "shut")
    if os.geteuid() == 0:  # who logs in there is another user
        assert "Permission denied" in cli("copy", "s", "far:shut", code=5).stderr
