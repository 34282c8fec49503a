"""A user who is not root, with a home and an interpreter, also where the tests run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.postgres import SERVER_USER, require_postgres
from tests.support.processes import kill_owned
from tests.support.requirements import require

REPOSITORY = Path(__file__).parents[2]
CLI_S = 120.0


class OrdinaryUser:
    """One user; the process that starts its programs may be root."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment: dict[str, str] = {}
        self.python = str(interpreter(home))

    def set(self, **variables: str) -> None:
        """Set variables of the environment."""
        self._environment |= variables

    def env(self) -> dict[str, str]:
        """The whole environment of the user."""
        own = {"HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), "USER": SERVER_USER}
        xdg = {name: value for name, value in os.environ.items() if name.startswith("XDG_")}
        kept = {name: value for name, value in os.environ.items() if name not in xdg}
        return kept | own | self._environment

    def argv(self, *argv: str) -> list[str]:
        """The command that runs a program as the user."""
        return [*_as_user(), *argv]

    def run(self, *argv: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, in the user's home, and expect an exit code."""
        done = subprocess.run(
            self.argv(*argv),
            cwd=self.home,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLI_S,
            check=False,
        )
        message = f"{argv} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        assert code is None or done.returncode == code, message
        assert "Traceback" not in done.stderr, message
        return done

    def hpcsweep(self, *arguments: str) -> list[str]:
        """The command that runs `hpcsweep`, for `run`."""
        return [self.python, "-m", "hpcsweep", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `hpcsweep`."""
        return subprocess.Popen(
            self.argv(*self.hpcsweep(*arguments)),
            cwd=self.home,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def does(self, *arguments: str) -> str:
        """What `hpcsweep` prints when it succeeds."""
        return self.run(*self.hpcsweep(*arguments)).stdout

    def refused(self, code: int, *arguments: str) -> str:
        """The message of an `hpcsweep` that must fail."""
        return self.run(*self.hpcsweep(*arguments), code=code).stderr

    def write(self, name: str, text: str) -> Path:
        """A file of the user's."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        """Give a file or directory to the user."""
        if os.geteuid() == 0:
            account = pwd.getpwnam(SERVER_USER)
            os.chown(path, account.pw_uid, account.pw_gid)


def _as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups", "--"]


@cache
def base_interpreter() -> str:
    """An interpreter of our version that the user may start; empty where there is none.

    Ours may be in root's home.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (str(Path(sys.executable).resolve()), shutil.which(version, path="/usr/bin") or ""):
        # By a shell: setpriv itself looks the program up with root's rights.
        argv = [*_as_user(), "sh", "-c", 'exec "$0" -c "import ssl, venv"', path]
        if path and subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return path
    return ""


def interpreter(home: Path) -> Path:
    """An interpreter in the user's home with the packages of ours."""
    argv = [base_interpreter(), "-m", "venv", "--without-pip", str(home / "env")]
    subprocess.run(argv, check=True)
    (packages,) = (home / "env/lib").glob("python*/site-packages")
    ours = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(REPOSITORY)]
    (packages / "ours.pth").write_text("\n".join(dict.fromkeys(ours)) + "\n")
    return home / "env/bin/python"


@pytest.fixture
def ordinary_user() -> Iterator[OrdinaryUser]:
    """A user in a new home, with nothing running at the end."""
    require_postgres()
    if not base_interpreter():
        require("a user", "needs a Python that others than root may start")
    home = Path(tempfile.mkdtemp(prefix="hu-", dir="/tmp"))
    try:
        (home / "tmp").mkdir()
        user = OrdinaryUser(home)
        for path in (home, *home.rglob("*")):
            if not path.is_symlink():
                user.own(path)
        yield user
    finally:
        kill_owned(home)
        shutil.rmtree(home)
