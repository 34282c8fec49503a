"""Which host, and which directory there: `HOST`, `HOST:DIR`, or a profile with `host:`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.errors import InputError
from hpcsweep.settings import profile_host

# As for rsync and scp: a colon before any slash. A name with `-` first would be an option of ssh.
_NAME = r"[^/:\s\0-][^/:\s\0]*"
_REMOTE = re.compile(rf"({_NAME}):(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class FarHost:
    """A directory on another host."""

    # As ssh takes it: `login`, `me@login`, a name of ~/.ssh/config.
    name: str
    # Relative to the home there unless it is absolute.
    root: str

    def __post_init__(self) -> None:
        """*Raises* InputError for a name or a directory that none can have."""
        if not re.fullmatch(_NAME, self.name):
            raise InputError(
                f"{self.name!r} is not the name of a host",
                where="--on",
                next_step="Write HOST, me@HOST, or HOST:DIR, with HOST as ssh takes it.",
            )
        if not self.root or re.search(r"[\0\n]", self.root):
            raise InputError(f"{self.root!r} is not a directory", where=f"--on {self.name}")


def split_remote(text: str) -> tuple[str, str] | None:
    """Host and directory of `HOST:DIR`; None for a path on this host."""
    match = _REMOTE.fullmatch(text)
    return (match[1], match[2]) if match else None


def far_host(text: str, project: Path) -> FarHost:
    """The host that `--on` names: by a profile, else as ssh takes it. *Raises* InputError."""
    given = profile_host(text) or split_remote(text) or (text, "")
    return FarHost(name=given[0], root=_in_home(given[1]) or _default_root(project))


def _in_home(root: str) -> str:
    """The directory without `~/`: it would be quoted there."""
    return root.removeprefix("~/") if root.startswith("~/") else "" if root == "~" else root


def _default_root(project: Path) -> str:
    """A directory for this project alone: another one may have the same name."""
    digest = hashlib.sha256(str(project).encode(errors="surrogateescape")).hexdigest()[:8]
    return f"hpcsweep/{project.name}-{digest}"
