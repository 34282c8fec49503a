"""Installs the Debian packages that the tests need; starts no service.

    python3 tests/support/packages.py

Does nothing unless it is root on a Debian. Standard library only: it runs before anything of ours
is installed. *Safe to repeat.*
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = (
    *("slurm-wlm", "slurmdbd", "munge", "mariadb-server"),
    *("postgresql", "pgbouncer", "strace", "gcc", "libc6-dev", "libfaketime"),
    *("chromium", "chromium-driver", "poppler-utils"),
    *("libopenmpi-dev", "openmpi-bin"),
    *("openssh-server", "openssh-client", "rsync"),
)
# Packages by the program that they bring; other packages than Debian's bring it, too.
PROGRAMS = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
}
# Debian keeps daemons where an ordinary user's PATH does not look.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# Debian's maintainer scripts ask this program whether they may start a service; 101 is "no".
POLICY = Path("/usr/sbin/policy-rc.d")
REFUSE = "#!/bin/sh\nexit 101\n"


def main() -> int:
    """Install what is missing, or say what a user who is not root has to install."""
    if shutil.which("apt-get") is None:
        return 0
    missing = [package for package in PACKAGES if not is_installed(package)]
    missing += [PROGRAMS[name] for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if not missing:
        return 0
    if os.geteuid() != 0:
        print(f"Some tests will be skipped. For all of them: apt-get install {' '.join(missing)}")
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
    with no_services():
        for command in (["apt-get", "update", "--quiet"], install):
            code = subprocess.run(command, env=environment, check=False).returncode
            if code:
                print(f"{' '.join(command)} ended with {code}", file=sys.stderr)
                return 1
    return 0


def is_installed(package: str) -> bool:
    """Whether dpkg has the package unpacked and configured."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, check=False).stdout == b"installed"


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Let no package start its service; an administrator's own policy stays as it is."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(REFUSE)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


if __name__ == "__main__":
    sys.exit(main())
