"""Find passwords in a manifest before they are written anywhere else (invariant 21)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hpcsweep.manifest import command_secrets
from hpcsweep.manifest.mistakes import Mistakes, Where
from hpcsweep.redact import redact

# A token in place of the user's name: with the prefix of a known service, or long.
_AS_USER = re.compile(
    r"://(?P<password>(gh[opsu]_|github_pat_|glpat-|hf_)[\w-]+"
    r"|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{24,})@"
)
_USERINFO = re.compile(r"://[^\s:/?#@]*:(?P<password>\S+)@")
_QUERY = re.compile(
    r"[?&](password|passwd|sslpassword|(access_|private_|api_|auth_)?token|api_?key|secret)="
    r"(?P<password>[^&\s\"']+)",
    re.IGNORECASE,
)
# Names in a line of shell or an argument: PGPASSWORD=…, --api-key …, Authorization: Bearer ….
_NAME = r"(pass(word|wd|phrase|code)|secret|token|(api|access|secret)[_-]?key)"
# Short names as whole words only: not BYPASS, `apptainer exec --pwd` or `--pass 2`.
_GIVEN = re.compile(
    rf"(?:(?<![\w-])(\w*{_NAME}|(\w*_)?(pass|pwd|pw)|\w+_pat)="
    rf"|(?<![\w-])--([\w-]*{_NAME}|[\w-]+-pass|pw|oauth2-bearer)[= ]\s*"
    r"|(Authorization|PRIVATE-TOKEN|X-[\w-]*(token|key)):\s*(\w+\s+)?"
    r"|\bconfigure\s+set\s+\S*(secret|token)\S*\s+)"
    r"[\"']?(?P<password>[^\s;&|\"']*)",
    re.IGNORECASE,
)
# Tokens of known services, recognized by their prefix in any place.
_HANDED_OUT = re.compile(
    r"(?<![\w-])((gh[opsu]_|npm_|hf_|sk-(proj-)?)[A-Za-z0-9]{20,}|(github_pat_|dckr_pat_)[\w-]{20,}"
    r"|(glpat-|xox[abp]-)[\w-]{16,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)|-----BEGIN [A-Z ]*PRIVATE KEY-"
)
# Not a secret: a reference that is substituted later, a path, a switch.
_HARMLESS = re.compile(r"[$`{<~/.]|(true|false|yes|no|on|off|[0-9]{1,6})?$", re.IGNORECASE)


def holds_password(text: str) -> bool:
    """Whether a URL in `text` holds a password; a variable or a placeholder is not one."""
    if "://" not in text:
        return False
    return any(
        _is_secret(match["password"])
        for pattern in (_USERINFO, _AS_USER, _QUERY)
        for match in pattern.finditer(text)
    )


def _is_secret(text: str) -> bool:
    # host:8080/path@version has a port and no password.
    port, slash, _ = text.partition("/")
    return not text.startswith(("$", "{")) and not (slash and port.isdigit())


def gives_secret(text: str) -> bool:
    """Whether a line of shell or an argument contains a secret."""
    return (
        any(not _HARMLESS.match(match["password"]) for match in _GIVEN.finditer(text))
        or _HANDED_OUT.search(text) is not None
        or command_secrets.in_line(text)
    )


# The keys whose value is an argv list, those with a part of one, and those whose texts are read as
# a line of shell.
_COMMANDS = ("command", "reduce", "notify")
_ARGUMENTS = (*_COMMANDS, "container_args")
_SHELL = tuple((key,) for key in (*_ARGUMENTS, "setup", "slurm", "reduce_slurm"))


def refuse_passwords(value: Any, mistakes: Mistakes) -> None:
    """Add a mistake for every text with a password; `key_values` checks URLs of databases."""
    guilty = set(_guilty_argument(value))
    for path, text in _texts(value):
        before = _before(path, value)  # --password
        is_shell = path[:1] in _SHELL
        if path[:1] == ("notify",) and redact(text) != text:
            guilty.add(path)
        if path in guilty or (is_shell and gives_secret(f"{before}{text}")):
            mistakes.add(
                path,
                "holds what looks like a secret, which would be written into files that stay",
                "Keep it in a file that only you can read, and write $(cat FILE) in its place; or "
                "use a password file.",
            )
        elif path not in (("store",), ("db_url",)) and holds_password(text):
            mistakes.add(
                path,
                "holds a URL with a password or token, which would be written into files that stay",
                "Use a service file, a password file or an environment variable.",
            )


def _guilty_argument(value: Any) -> Iterator[Where]:
    """The arguments of commands that are secrets, by their own or the previous word."""
    for key in _COMMANDS:
        words = value.get(key) if isinstance(value, dict) else None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            position = command_secrets.in_words(words)
            if position is not None:
                yield (key, position)


def _before(path: Where, value: Any) -> str:
    """The option before an argument of a command, followed by a space; else empty."""
    if len(path) != 2 or path[0] not in _ARGUMENTS or not isinstance(path[1], int) or not path[1]:
        return ""
    option = value[path[0]][path[1] - 1]
    return f"{option} " if isinstance(option, str) and option.startswith("--") else ""


def _texts(value: Any) -> Iterator[tuple[Where, str]]:
    waiting: list[tuple[Where, Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, list):
            waiting += [((*path, i), part) for i, part in enumerate(item)]
        elif isinstance(item, dict):
            waiting += [((*path, key), part) for key, part in item.items()]
