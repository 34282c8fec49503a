"""The examples at the end of a command's help, of its manual page and of its reference."""

from __future__ import annotations

# click keeps the lines of a paragraph that begins with it.
_AS_WRITTEN = "\b\n"
_TITLE = "Examples:\n"


def examples(*commands: str) -> str:
    """The epilog of a click command: what a user may type."""
    return _AS_WRITTEN + _TITLE + "\n".join(f"  {command}" for command in commands)


def examples_of(epilog: str | None) -> list[str]:
    """The commands of such an epilog; none if there is no epilog."""
    _, _, lines = (epilog or "").partition(_TITLE)
    return [line.strip() for line in lines.splitlines()]
