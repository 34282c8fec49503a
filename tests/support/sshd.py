"""A private sshd on the loopback interface: another host, for tests of what goes there by ssh.

Everything is its own: a temporary directory, keys, a port, the home of whoever logs in. Neither
/etc/ssh nor anybody's ~/.ssh is read or written. Where the tests are root, a login drops root's
rights and is another user.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.support.postgres import SERVER_USER
from tests.support.processes import kill, owned_by
from tests.support.reaper import reaper_of
from tests.support.requirements import require, to_install
from tests.support.wait import wait_until

# Debian keeps daemons where an ordinary user's PATH does not look.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# Debian's packages by their programs.
PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync"}
# sshd of root refuses to start without it; Debian's service makes it at each boot.
SEPARATION = Path("/run/sshd")
START_S = 60.0

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
ForceCommand {directory}/login
PermitRootLogin forced-commands-only
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitUserRC no
PrintMotd no
PrintLastLog no
PidFile none
StrictModes no
"""
# A host `far`, and ways in which it cannot be reached.
CLIENT = """\
Host far impostor stranger
    Port {port}
Host deaf
    Port {deaf}
Host impostor
    HostKeyAlias impostor
Host stranger
    HostKeyAlias stranger
Host far impostor stranger deaf
    HostName 127.0.0.1
Host *
    User {user}
    IdentityFile {directory}/user_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
"""
# Runs what a client asks for, in the home that this login has. `$1` of a shell is the command.
LOGIN = """\
#!/bin/sh
cd {home} || exit 1
exec {drop} env -i HOME={home} USER={user} LOGNAME={user} SHELL=/bin/sh PATH={path} \\
    LC_ALL=C.UTF-8 SSH_CONNECTION="$SSH_CONNECTION" {shell} -c "${{SSH_ORIGINAL_COMMAND:-exec sh}}"
"""


def why_not() -> str:
    """Why no private sshd can be started here; empty when one can."""
    missing = to_install(PACKAGES, PATH)
    return f"needs an sshd: apt-get install {missing}" if missing else ""


class PrivateSshd:
    """One server, in a `with` block. `far` is its name for clients whose PATH begins with `bin`.

    `impostor` is the same with another key than is known, `stranger` one whose key is unknown,
    `deaf` a port where nobody listens; every other name is no host.
    """

    def __init__(self) -> None:
        self.directory = Path()
        # Where a login begins; it is the login's own HOME.
        self.home = Path()
        # Has `ssh`, which reads this server's configuration and no other.
        self.bin = Path()
        # Where a login looks for programs.
        self.path = os.environ.get("PATH", os.defpath)
        self.user = SERVER_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        # Short: a socket's path, as of a ControlMaster, has at most 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="hx-", dir="/tmp"))
        self._reaper = reaper_of(self.directory)
        try:
            self.directory.chmod(0o755)
            self._make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._reaper is not None
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait()
        if self._process is not None:
            self._process.wait()

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        argv = [shutil.which("sshd", path=PATH) or "", "-D", "-e"]
        with (self.directory / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, "-f", str(self.directory / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._listens, START_S, "sshd listening")

    def stop(self) -> None:
        """Stop the server: nobody can connect any more. What is connected stays."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def drop_connections(self) -> None:
        """Cut all connections, as a network does that is gone; what runs is left alone."""
        listener = self._process.pid if self._process else 0
        for pid, line in owned_by(self.directory).items():
            if line.startswith("sshd: ") and pid != listener:
                kill(pid)

    def env(self, **more: str) -> dict[str, str]:
        """An environment whose ssh, also that of rsync, reaches this server."""
        return os.environ | {"PATH": f"{self.bin}:{os.environ['PATH']}"} | more

    def client_section(self, host: str, *options: str) -> str:
        """Lines that begin a client's configuration: this server by another name."""
        lines = [
            f"HostName 127.0.0.1\nPort {self._port}",
            f"IdentityFile {self.directory}/user_key",
            f"UserKnownHostsFile {self.directory}/known_hosts",
            *options,
        ]
        return "\n".join([f"Host {host}", *lines, ""])

    def own(self, path: Path) -> None:
        """Give a file or directory to whoever logs in."""
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            os.chown(path, account.pw_uid, account.pw_gid)

    def login_with(self, path: str, shell: str = "sh") -> None:
        """Let logins look for programs in this PATH from now on, and have this shell."""
        self.path = path
        drop = (
            "" if os.geteuid() else f"setpriv --reuid={self.user} --regid={self.user} --init-groups"
        )
        self._write(
            "login",
            LOGIN.format(
                home=shlex.quote(str(self.home)),
                user=shlex.quote(self.user),
                path=shlex.quote(path),
                drop=drop,
                shell=shlex.quote(shell),
            ),
            0o755,
        )

    def _make(self) -> None:
        if os.geteuid() == 0:
            SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self.home, self.bin = self.directory / "home", self.directory / "bin"
        self.home.mkdir()
        self.own(self.home)
        self.bin.mkdir()
        for name in ("host_key", "user_key", "other_key"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name]
            subprocess.run(keygen, cwd=self.directory, check=True)
        keys = {name: self._key(name) for name in ("host_key", "user_key", "other_key")}
        # Root may log in with a key that names its command.
        login = f'command="{self.directory}/login" ' if os.geteuid() == 0 else ""
        self._write("authorized_keys", f"{login}{keys['user_key']}\n")
        self._port, deaf = _free_ports()
        known = f"[127.0.0.1]:{self._port} {keys['host_key']}\nimpostor {keys['other_key']}\n"
        self._write("known_hosts", known)
        self._write("sshd_config", SERVER.format(port=self._port, directory=self.directory))
        user = pwd.getpwuid(os.geteuid()).pw_name
        client = CLIENT.format(port=self._port, deaf=deaf, user=user, directory=self.directory)
        self._write("ssh_config", client)
        ssh = shlex.quote(shutil.which("ssh") or "ssh")
        call = f'#!/bin/sh\nexec {ssh} -F {self.directory}/ssh_config "$@"\n'
        self._write("bin/ssh", call, 0o755)
        self.login_with(self.path)

    def _key(self, name: str) -> str:
        return (self.directory / f"{name}.pub").read_text().strip()

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)

    def _listens(self) -> bool | str:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"sshd ended: {(self.directory / 'sshd.log').read_text()}")
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=5).close()
        except OSError as error:
            return str(error)
        return True


def _free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def sshd() -> Iterator[PrivateSshd]:
    """Another host for one test; where no sshd is the test is skipped, which in CI is a failure."""
    require_sshd()
    with PrivateSshd() as server:
        yield server


def require_sshd() -> None:
    """Skip where no private sshd can be started; in CI that is a failure."""
    require("an sshd", why_not())
