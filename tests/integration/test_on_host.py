"""`hpcsweep --on HOST`: a real sshd, another user's home, an emulated cluster there."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hpcsweep import __version__
from hpcsweep.far.ssh import Connection
from tests.support import ordinary_user
from tests.support import sshd as sshd_module
from tests.support.clusters import INGEST_LATER, QUICK
from tests.support.here import holds
from tests.support.processes import kill, owned_by
from tests.support.small_disk import fill, mounted
from tests.support.sshd import PrivateSshd
from tests.support.terminal import on_terminal
from tests.support.wait import wait_until

sshd = sshd_module.sshd

CLI_S = 120.0
ROOT = "it's $HOME; touch x"
MANIFEST = "name: s\ntarget: model.py:f\nsource: {grid: {x: [1, 2, 3]}}\n"
# The import of `submit` waits there until the gate is open.
MODEL = """\
import pathlib, time
from helper import twice
home = pathlib.Path.home()
(home / "imported").touch()
while (home / "shut").exists():
    time.sleep(0.05)
def f(x):
    with (home / f"ran-{x}").open("a") as stream:
        stream.write("x")
    return {"y": twice(x)}
"""


class Laptop:
    """A project here, and the home of the same user on another host."""

    def __init__(self, project: Path, sshd: PrivateSshd) -> None:
        self.project, self.sshd = project, sshd
        self.there = sshd.home / ROOT
        project.mkdir()
        (project / "m.yaml").write_text(MANIFEST)
        (project / "model.py").write_text(MODEL)
        (project / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
        self.login()

    def install(self, shell: str) -> None:
        """Let `hpcsweep` there be these lines of shell."""
        program = self.sshd.home / "bin/hpcsweep"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{shell}\n")
        program.chmod(0o755)

    def install_with_cluster(self, program: str) -> None:
        """Let `hpcsweep` there be a program of Python, with an emulated cluster."""
        self.install(f'exec {ordinary_user.interpreter(self.sshd.home)} {program} "$@"')
        quick = QUICK | INGEST_LATER | {"HPCSWEEP_CLUSTER": "emulated"}
        self.login(*(f"{name}={value}" for name, value in quick.items()))

    def finishes(self) -> None:
        """Submit the rest, fetch the table, and check that each case ran once."""
        self.run("submit", "m.yaml", "--wait")
        self.run("collect", "s", "--output", "table.csv", "--columns", "x,y")
        assert (self.project / "table.csv").read_text() == "x,y\n1,2\n2,4\n3,6\n"
        assert [(self.sshd.home / f"ran-{x}").read_text() for x in (1, 2, 3)] == ["x"] * 3

    def login(self, *variables: str) -> None:
        """Set variables at a login there, and `hpcsweep` on PATH; it chats, too."""
        lines = [
            "echo welcome",
            'export PATH="$HOME/bin:$PATH"',
            *(f"export {one}" for one in variables),
        ]
        (self.sshd.home / ".bash_profile").write_text("\n".join(lines) + "\n")

    def argv(self, *arguments: str, host: str = "far") -> list[str]:
        return [sys.executable, "-m", "hpcsweep", "--on", f"{host}:{ROOT}", *arguments]

    def run(
        self, *arguments: str, code: int = 0, host: str = "far"
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*arguments, host=host),
            cwd=self.project,
            env=self.sshd.env(),
            capture_output=True,
            text=True,
            timeout=CLI_S,
            check=False,
        )
        message = f"{arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == code, message
        assert "Traceback" not in done.stderr, message
        return done

    def submits(self) -> list[str]:
        """The command lines there that submit."""
        return [one for one in owned_by(self.sshd.directory).values() if " submit " in one]

    def refused(self, *arguments: str, code: int, host: str = "far") -> str:
        return self.run(*arguments, code=code, host=host).stderr


@pytest.fixture
def laptop(tmp_path: Path, sshd: PrivateSshd) -> Laptop:
    """A project on a laptop that reaches `far`."""
    return Laptop(tmp_path / "project", sshd)


def test_a_submit_that_was_cut_off_goes_on(laptop: Laptop) -> None:
    home = laptop.sshd.home
    laptop.install_with_cluster("-m hpcsweep")
    (home / "shut").touch()
    argv, env = laptop.argv("submit", "m.yaml"), laptop.sshd.env()
    with subprocess.Popen(
        argv, cwd=laptop.project, env=env, stderr=subprocess.PIPE, text=True
    ) as cut:
        wait_until((home / "imported").exists, CLI_S, "a submit there")
        laptop.sshd.drop_connections()
        _, said = cut.communicate(timeout=CLI_S)
    assert cut.returncode == 7
    holds(said, "far: the connection broke while `submit` ran", "nothing is submitted twice")
    (home / "shut").unlink()
    wait_until(lambda: not laptop.submits(), CLI_S, "the end of that submit")
    laptop.finishes()
    submissions = laptop.there / "outputs/s/submissions"
    assert [path.name for path in submissions.iterdir()] == ["0001"]
    assert not list(home.rglob("x"))
    assert not (laptop.project / "outputs").exists()
    # A report comes back, although its place is in the sweep's directory.
    laptop.run("report", "s")
    assert (laptop.project / "report.html").read_text().startswith("<!doctype html>")


# `hpcsweep` with an sbatch whose first answer is held back.
HELD = """\
import pathlib, time
from hpcsweep.cli import main
from hpcsweep.cluster.slurm.client import Slurm
home, submit = pathlib.Path.home(), Slurm.submit
def held(*arguments, **how):
    job = submit(*arguments, **how)
    (home / "accepted").touch()
    while (home / "accepted").exists():
        time.sleep(0.05)
    return job
if (home / "holds").exists():
    Slurm.submit = held
main(prog_name="hpcsweep")
"""


@pytest.mark.soak  # test_a_submit_that_was_cut_off_goes_on is the same without an unanswered part
def test_a_submit_that_died_between_two_calls_of_sbatch_goes_on(laptop: Laptop) -> None:
    """As at a site that ends what a login left behind when its connection is gone."""
    home = laptop.sshd.home
    (home / "held.py").write_text(HELD)
    laptop.install_with_cluster(f"{home}/held.py")
    manifest = f"{MANIFEST}chunk: 1\nlimits: {{max_array_size: 2}}\n"
    (laptop.project / "m.yaml").write_text(manifest)
    (home / "holds").touch()
    argv, env = laptop.argv("submit", "m.yaml"), laptop.sshd.env()
    with subprocess.Popen(argv, cwd=laptop.project, env=env, stderr=subprocess.DEVNULL) as cut:
        wait_until((home / "accepted").exists, CLI_S, "the first sbatch")
        laptop.sshd.drop_connections()
        assert cut.wait(CLI_S) == 7
    for pid, line in owned_by(laptop.sshd.directory).items():
        if "held.py submit" in line:
            kill(pid)
    (home / "holds").unlink()
    laptop.finishes()
    jobs = [path.parent.name for path in laptop.there.rglob("part-*.job.json")]
    assert sorted(jobs) == ["0001", "0002"]


# A command that goes on until it prints something.
GOES_ON = """touch begun
while [ ! -e go ]; do sleep 0.02; done
touch went-on
echo "to nobody"
touch printed"""


def interrupted(laptop: Laptop, begun: Path) -> str:
    """What a submit says that is interrupted when a file is there."""
    argv, env = laptop.argv("submit", "m.yaml"), laptop.sshd.env()
    with subprocess.Popen(
        argv,
        cwd=laptop.project,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as stopped:
        wait_until(begun.exists, CLI_S, str(begun))
        os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does
        _, said = stopped.communicate(timeout=CLI_S)
    assert stopped.returncode == 130
    return said


def test_a_command_goes_on_after_ctrl_c_until_it_prints(laptop: Laptop) -> None:
    laptop.install(f"{ECHO.format(version=__version__).splitlines()[0]}\n{GOES_ON}")
    said = interrupted(laptop, laptop.there / "begun")
    holds(said, "No longer connected; `submit` may continue on far until it prints something.")
    (laptop.there / "go").touch()
    wait_until((laptop.there / "went-on").exists, CLI_S, "the rest of that command")
    wait_until(lambda: not laptop.submits(), CLI_S, "the end of that command")
    assert not (laptop.there / "printed").exists()


def test_ctrl_c_before_the_command_begins_says_that_nothing_runs_there(laptop: Laptop) -> None:
    laptop.install(f"{ECHO.format(version=__version__).splitlines()[0]}\ntouch begun")
    # The login waits: so does what sends the files.
    (laptop.sshd.home / ".bash_profile").write_text(
        'export PATH="$HOME/bin:$PATH"; touch ~/waits; while [ -e ~/waits ]; do sleep 0.02; done\n'
    )
    said = interrupted(laptop, laptop.sshd.home / "waits")
    (laptop.sshd.home / "waits").unlink()
    assert said.strip() == "Stopped; `submit` is not running on far."
    assert not (laptop.there / "begun").exists()


def test_a_jump_host_asks_nothing_at_a_terminal(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ssh does not know of BatchMode; a question would wait for an answer for ever."""
    config = laptop.sshd.directory / "ssh_config"
    text = config.read_text().replace("StrictHostKeyChecking yes", "StrictHostKeyChecking ask")
    config.write_text(laptop.sshd.client_section("behind", "ProxyJump stranger") + text)
    monkeypatch.chdir(laptop.project)
    monkeypatch.setenv("PATH", laptop.sshd.env()["PATH"])
    done = on_terminal(["--on", "behind", "list"], width=80)
    assert done.code == 6
    assert "behind: its key is not known" in " ".join(done.text.split())


def test_a_jump_host_of_the_users_configuration(laptop: Laptop) -> None:
    jump = laptop.sshd
    with PrivateSshd() as inner:
        config = jump.directory / "ssh_config"
        config.write_text(inner.client_section("behind", "ProxyJump far") + config.read_text())
        behind = Laptop(laptop.project.with_name("other"), inner)
        behind.install(ECHO.format(version=__version__))
        argv = behind.argv("validate", "m.yaml", host="behind")
        done = subprocess.run(
            argv, cwd=behind.project, env=jump.env(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (42, "an error\n")
        assert (behind.there / "helper.py").exists()
    assert "Accepted publickey" in (jump.directory / "sshd.log").read_text()


ECHO = """\
case "$1" in --version) echo "hpcsweep {version}"; exit;; esac
for one in "$@"; do printf "%s\\0" "$one"; done; echo "an error" >&2; exit 42"""


def test_arguments_output_and_exit_code_stay_as_they_are(laptop: Laptop) -> None:
    laptop.install(ECHO.format(version=__version__))
    arguments = ["--where", "a < 'b' && $(touch x) `touch x`", 'é\n!! "\\', "*", "", "--", "-x"]
    done = laptop.run("list", *arguments, code=42)
    assert done.stdout.split("\0") == ["list", *arguments, ""]
    assert done.stderr == "an error\n"
    assert not list(laptop.sshd.home.rglob("x"))
    # `list` reads no file of the project.
    assert list(laptop.there.iterdir()) == []
    drawn = laptop.run("plot", "s", "--x", "x", code=42).stdout.split("\0")
    assert drawn[:4] == ["plot", "--output", "plot.png", "s"]
    assert laptop.run("plot", "--help", code=42).stdout.split("\0")[:2] == ["plot", "--help"]


def test_a_login_whose_shell_prints_at_each_command(laptop: Laptop) -> None:
    """As ~/.bashrc of a bash that sshd started; here a line without its end."""
    laptop.install(ECHO.format(version=__version__))
    shell = laptop.sshd.directory / "chatty"
    shell.write_text('#!/bin/sh\nprintf "welcome, root=/x"\nexec sh "$@"\n')
    shell.chmod(0o755)
    laptop.sshd.login_with(laptop.sshd.path, str(shell))
    assert laptop.run("list", "--json", code=42).stdout == "list\0--json\0"
    for command in (("submit", "m.yaml"), ("collect", "s", "--output", "t.csv")):
        said = laptop.refused(*command, code=6)
        holds(said, "far: its shell prints 'welcome, root=/x' at each command", "~/.bashrc")
    assert not list(laptop.there.iterdir())


def test_a_command_that_a_signal_ends_there_is_no_lost_connection(laptop: Laptop) -> None:
    """As where a login node ends what takes too much memory."""
    laptop.install(f"{ECHO.format(version=__version__).splitlines()[0]}\nkill -9 $$")
    assert "Killed" in laptop.run("list", code=137).stderr


def test_the_width_of_the_terminal_is_carried_over(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(laptop.project)
    monkeypatch.setenv("PATH", laptop.sshd.env()["PATH"])
    answer = f'case "$1" in --version) echo "hpcsweep {__version__}"; exit;; esac'
    laptop.install(f'{answer}\necho "${{HPCSWEEP_COLUMNS-any}}"')
    assert on_terminal(["--on", "far", "list"], width=47).text.split() == ["47"]
    assert laptop.run("list").stdout == "any\n"


def test_a_terminal_gets_no_control_sequence(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it goes into a pipe, so documents are not escaped; a character may come by half."""
    monkeypatch.chdir(laptop.project)
    monkeypatch.setenv("PATH", laptop.sshd.env()["PATH"])
    answer = f'case "$1" in --version) echo "hpcsweep {__version__}"; exit;; esac'
    laptop.install(f"{answer}\nprintf '\\033[31mcaf\\303'; printf '\\251\\n'")
    done = on_terminal(["--on", "far", "files", "s"], width=80)
    assert done.text.splitlines() == ["\\x1b[31mcafé"]


def test_a_profile_names_host_and_directory(laptop: Laptop, tmp_path: Path) -> None:
    laptop.install(ECHO.format(version=__version__))
    config = tmp_path / "config/hpcsweep/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("profiles: {big: {host: far, root: ~/work}}\n")
    argv = [sys.executable, "-m", "hpcsweep", "--on", "big", "list"]
    env = laptop.sshd.env(XDG_CONFIG_HOME=str(tmp_path / "config"))
    done = subprocess.run(argv, cwd=laptop.project, env=env, capture_output=True, check=False)
    assert done.returncode == 42
    assert (laptop.sshd.home / "work").is_dir()


def test_a_connection_is_private_and_ends(
    sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", sshd.env()["PATH"])
    with Connection("far") as connection:
        (option,) = [one for one in connection.command() if one.startswith("ControlPath=")]
        socket = Path(option.removeprefix("ControlPath="))
        assert socket.is_socket()
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert connection.run("echo out; echo err >&2; exit 3").stdout == "out\n"
        sshd.stop()  # nothing connects any more: what follows goes by the one connection
        done = connection.run("cat; exit 3")
        assert (done.returncode, done.stdout) == (3, "")
    assert not socket.parent.exists()


def test_a_connection_that_the_user_shares_is_used(laptop: Laptop) -> None:
    """As where a site asks for a code, so that no other can be opened."""
    laptop.install(ECHO.format(version=__version__))
    config = laptop.sshd.directory / "ssh_config"
    shared = laptop.sshd.directory / "shared"
    config.write_text(f"{config.read_text()}    ControlPath {shared}\n")
    by_hand = ["ssh", "-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "far", "true"]
    subprocess.run(by_hand, env=laptop.sshd.env(), check=True)
    laptop.sshd.stop()
    laptop.run("validate", "m.yaml", code=42)
    assert (laptop.there / "helper.py").is_file()
    assert shared.is_socket()


UNREACHABLE = {
    "impostor": (6, "not the one that your known_hosts has"),
    "stranger": (6, "its key is not known"),
    "deaf": (7, "Connection refused"),
    "no-such-host.invalid": (7, "Could not resolve hostname"),
    "-oProxyCommand=touch x": (3, "is not the name of a host"),
    "": (3, "is not the name of a host"),
}


def test_hosts_that_cannot_be_reached(laptop: Laptop) -> None:
    for host, (code, words) in UNREACHABLE.items():
        assert words in laptop.refused("list", code=code, host=host)
    assert not list(laptop.project.rglob("x"))


def test_a_host_that_lacks_something(laptop: Laptop) -> None:
    laptop.install(ECHO.format(version="0.0.1"))
    said = laptop.refused("submit", "m.yaml", code=6)
    holds(said, f"has hpcsweep 0.0.1, and here is {__version__}", f"--on 'far:{laptop.sshd.home}/")
    (laptop.sshd.home / "bin/hpcsweep").unlink()
    assert "far: has no hpcsweep" in laptop.refused("submit", "m.yaml", code=6)
    laptop.install(ECHO.format(version=__version__))
    programs = laptop.sshd.directory / "programs"
    programs.mkdir()
    for name in ("bash", "setpriv", "sh", "env", "mkdir"):
        (programs / name).symlink_to(shutil.which(name) or "")
    laptop.sshd.login_with(str(programs))
    assert "far: has no rsync" in laptop.refused("submit", "m.yaml", code=6)
    laptop.login(f"PATH={programs}")
    assert "there is no Python 3.11 or newer" in laptop.refused("install", code=6)
    assert "works on this host alone" in laptop.refused("init", "new", code=2)
    said = laptop.refused("collect", "s", "--output", "../t.csv", code=3)
    assert "outside of the project" in said


def test_a_full_disk_there(laptop: Laptop) -> None:
    laptop.install(ECHO.format(version=__version__))
    with mounted(laptop.there, "size=64k") as disk:
        laptop.sshd.own(disk)
        fill(disk / "full")
        said = laptop.refused("submit", "m.yaml", code=5)
    holds(said, "No space left on device", "Nothing was begun there.", "quota")


@pytest.mark.parametrize("is_from_index", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_install_makes_an_environment_there(
    laptop: Laptop, tmp_path: Path, is_from_index: bool
) -> None:
    index = laptop.sshd.home / "index"
    index.mkdir()
    wheel = (index if is_from_index else tmp_path) / f"hpcsweep-{__version__}-py3-none-any.whl"
    _write_wheel(wheel)
    pip = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={index} PIP_CONFIG_FILE=/dev/null"
    laptop.login(f"{pip} PATH={laptop.sshd.home}/python:$PATH")
    python = laptop.sshd.home / "python/python3"
    python.parent.mkdir()
    python.symlink_to(ordinary_user.base_interpreter())
    from_file = [] if is_from_index else ["--wheel", str(wheel)]
    done = laptop.run("install", *from_file, "--extra", "parquet")
    assert done.stdout == f"installed: hpcsweep {__version__} in far:{laptop.there}\n"
    assert laptop.run("list").stdout == "hpcsweep of a wheel\n"


def _write_wheel(path: Path) -> None:
    """A wheel of our name that needs no other: its program prints the version or a line."""
    information = f"hpcsweep-{__version__}.dist-info"
    module = "import sys\nprint({!r} if sys.argv[1:] == ['--version'] else {!r})\n"
    files = {
        "hpcsweep.py": module.format(f"hpcsweep {__version__}", "hpcsweep of a wheel"),
        f"{information}/METADATA": "Metadata-Version: 2.1\nName: hpcsweep\n"
        f"Version: {__version__}\nProvides-Extra: parquet\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{information}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {f"{information}/RECORD": record}).items():
            archive.writestr(name, text)
