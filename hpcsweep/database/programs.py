"""Find PostgreSQL's programs and run them: the one place here that starts processes."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.errors import StoreError
from hpcsweep.redact import redact

_log = logging.getLogger(__name__)

ServerProcess = subprocess.Popen[bytes]

# Where packages put what is not on PATH: Debian and Ubuntu, Red Hat's and SUSE's, a build by hand.
USUAL_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
_VERSION = re.compile(r"PostgreSQL\) (\d+)")
GET_IT = (
    "On a cluster: `module avail postgresql`, then `module load` it. Anywhere: `conda install -c "
    "conda-forge postgresql`. On a machine of your own: `apt install postgresql`."
)
# Seconds: initdb writes a thousand files, which takes a network file system its time.
INITDB_TIMEOUT_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """One installation of PostgreSQL."""

    # The directory of its programs.
    directory: Path
    # Its major version.
    version: int

    def path(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.directory / name)


def find_programs(version: int | None = None) -> Programs:
    """The newest PostgreSQL that is installed here, or the one of a major version.

    *Raises* StoreError that says where it was looked for and how to get one.
    """
    by_version: dict[int, Programs] = {}
    for directory in _places():
        number = _version_in(directory)
        if number is not None:
            by_version.setdefault(number, Programs(directory=directory, version=number))
    if not by_version:
        raise StoreError(
            "PostgreSQL is not installed here: no `postgres` and `initdb` are on PATH, in "
            f"`pg_config --bindir`, or in {', '.join(USUAL_PLACES)}",
            next_step=GET_IT,
        )
    if version is None:
        # What the user put on PATH comes first, whatever else is there.
        return next(iter(by_version.values()))
    if version not in by_version:
        installed = ", ".join(str(number) for number in sorted(by_version))
        raise StoreError(
            f"the data are of PostgreSQL {version}, and here is {installed}",
            next_step=f"Get version {version}, or dump the database where that is (`hpcsweep db "
            f"dump`) and restore it into a new directory. {GET_IT}",
        )
    return by_version[version]


def _places() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        # Without links: a package may link some of its programs only.
        yield Path(on_path).resolve().parent
    # The environment of this Python, which need not be activated.
    yield Path(sys.prefix) / "bin"
    try:
        yield Path(run(["pg_config", "--bindir"]).strip())
    except StoreError as error:  # there is none, or it is broken
        _log.debug("%s", error)
    for pattern in USUAL_PLACES:
        yield from sorted(Path("/").glob(pattern[1:]), key=_number, reverse=True)


def _number(path: Path) -> int:
    return int((re.findall(r"\d+", str(path)) or ["0"])[0])


def _version_in(directory: Path) -> int | None:
    """The major version of the PostgreSQL in a directory; None where none can be started."""
    names = ("postgres", "initdb")
    if not all(os.access(directory / name, os.X_OK) for name in names):
        return None
    try:
        match = _VERSION.search(run([str(directory / "postgres"), "--version"]))
    except StoreError as error:
        _log.info("%s: %s", directory, error)
        return None
    return int(match[1]) if match else None


def run(
    argv: Sequence[str],
    *,
    answer: str = "",
    output: int | None = None,
    timeout_s: float | None = 60.0,
) -> str:
    """Run a program to its end. Returns what it printed.

    `answer` is its standard input; `output` is a descriptor that gets what it prints instead;
    with None for `timeout_s` it may take any time.
    *Raises* StoreError that holds its last words.
    """
    _log.debug("starting %s", redact(shlex.join(argv)))
    try:
        done = subprocess.run(
            argv,
            env=environment(),
            input=answer.encode(),
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise StoreError(
            f"there is no {argv[0]} here",
            next_step="Load the module, or install the package, that has it.",
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"{argv[0]} cannot be run: {redact(str(error))}") from error
    if done.returncode != 0:
        message = redact(done.stderr.decode(errors="replace"))
        raise StoreError(f"{Path(argv[0]).name}: {complaint(message)}", next_step=remedy(message))
    return (done.stdout or b"").decode(errors="replace")


def spawn_server(programs: Programs, data: Path, log: int, *, apart: bool) -> ServerProcess:
    """Start a server that writes its log to a descriptor; with `apart` it outlives this terminal.

    In a job it stays in the job's process group, by which some sites end a job.
    """
    return subprocess.Popen(
        [programs.path("postgres"), "-D", str(data)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=apart,
    )


def command_line(pid: int) -> str:
    """The arguments of a process with blanks between them; empty for one that is gone."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        if Path("/proc/self").exists():
            return ""
        try:  # macOS
            return run(["ps", "-o", "command=", "-p", str(pid)]).strip()
        except StoreError:
            return ""
    return arguments.replace(b"\0", b" ").decode(errors="surrogateescape").strip()


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: nothing of another database, English messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    service_file = {name: os.environ[name] for name in ("PGSERVICEFILE",) if name in os.environ}
    return kept | service_file | {"LC_ALL": "C"}


# What programs and server say, and what next.
_REMEDIES = (
    (
        r"No space left on device|Disk quota exceeded",
        "The disk or quota is full: make room, then start again.",
    ),
    (
        r"SSL is not supported",
        "This PostgreSQL was built without TLS, which a server on a node needs: get another one.",
    ),
)
_LEVEL = re.compile(r"^.*?\b(FATAL|PANIC|error|ERROR): +")


def complaint(text: str) -> str:
    """The line of a log that says what went wrong: the last error, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    worst = [line for line in lines if _LEVEL.search(line)]
    return _LEVEL.sub("", (worst or lines or ["it said nothing"])[-1])


def remedy(text: str) -> str:
    """What to do about it; empty where that is not known."""
    return next((step for pattern, step in _REMEDIES if re.search(pattern, text)), "")
