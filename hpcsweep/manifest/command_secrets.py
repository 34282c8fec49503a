"""Find secrets among the arguments of programs: `mysql -pWORD`, `curl -u me:WORD`.

The options are listed by program, since the same letter is harmless elsewhere (`mkdir -p`,
`ssh -p 22`). `passwords` finds long options with a telling name (`--password`) and variables
(`PGPASSWORD=`) of all programs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# A reference to a secret, or a prompt, instead of the secret: $VAR, $(…), {param}, "-", nothing.
_REFERENCE = re.compile(r"[$`{]|-?$")


@dataclass(frozen=True, slots=True)
class _Options:
    """The options by which a program takes a secret."""

    # Letters of options with the secret in the same word: `-pWORD`. Alone they prompt for it.
    attached: str = ""
    # Options with the secret in the next or in the same word: letters, and names of long options.
    letters: str = ""
    long: tuple[str, ...] = ()
    # Text before the secret in the value: ":" in `user:WORD`.
    after: str = ""
    # Subcommands that take the options; empty for all.
    subcommands: tuple[str, ...] = ()
    # Whether another program begins at the first word that is not an option.
    leads: bool = False


_MYSQL = _Options(attached="p")
_REGISTRY = _Options(letters="p", subcommands=("login",))
_ARCHIVE = _Options(attached="p")
_LDAP = _Options(letters="w")
_MONGO = _Options(letters="p")
_CREDS = ("--creds", "--src-creds", "--dest-creds", "--from-creds", "--to-creds")
_PROGRAMS = {
    **dict.fromkeys(
        (
            *("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mysqlcheck"),
            *("mysqlpump", "mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import"),
        ),
        _MYSQL,
    ),
    "sshpass": _Options(letters="p", leads=True),
    "curl": _Options(letters="uU", long=("--user", "--proxy-user"), after=":"),
    **dict.fromkeys(("http", "https", "xh"), _Options(letters="a", long=("--auth",), after=":")),
    **dict.fromkeys(
        (
            *("docker", "podman", "nerdctl", "buildah", "helm", "crane", "oras", "az", "oc"),
            *("singularity", "apptainer"),
        ),
        _REGISTRY,
    ),
    "skopeo": _Options(long=_CREDS, after=":"),
    "twine": _Options(letters="p"),
    "redis-cli": _Options(letters="a", long=("--pass",)),
    **dict.fromkeys(
        ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"), _MONGO
    ),
    **dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami"), _LDAP),
    **dict.fromkeys(("sqlcmd", "bcp", "ipmitool", "unzip", "zip"), _Options(letters="P")),
    "cypher-shell": _Options(letters="p"),
    "influx": _Options(long=("-password",)),
    **dict.fromkeys(("7z", "7za", "7zr", "7zz", "rar", "unrar"), _ARCHIVE),
    "openssl": _Options(long=("-pass", "-passin", "-passout"), after="pass:"),
    "ssh-keygen": _Options(letters="NP"),
    "smbclient": _Options(letters="U", after="%"),
    "lftp": _Options(letters="u", after=","),
}
# Programs that read a secret from standard input, with the option for that; "" if none is needed.
_READERS = {
    "sudo": "-S",
    "docker": "--password-stdin",
    "podman": "--password-stdin",
    "helm": "--password-stdin",
    "gh": "--with-token",
    "htpasswd": "-i",
    **dict.fromkeys(("kinit", "passwd", "chpasswd", "su", "cryptsetup"), ""),
}


def in_line(text: str) -> bool:
    """Whether a line of shell contains a secret for a program."""
    commands = list(_commands(text))
    if any(in_words(words) is not None for _, words in commands):
        return True
    return any(
        joined == "|" and _prints_literal(before) and _reads_secret(words)
        for (_, before), (joined, words) in pairwise(commands)
    )


def in_words(words: Sequence[str]) -> int | None:
    """The position of a secret among program and arguments; None without one."""
    for position, word in enumerate(words):
        options = _PROGRAMS.get(word.rpartition("/")[2])
        if options is not None:
            place = _in_arguments(options, words, position + 1)
            if place is not None:
                return place
        if word == "<<<" and _reads_secret(words[:position]):
            given = words[position + 1 : position + 2]
            if given and not _REFERENCE.match(given[0]):
                return position + 1
    return None


def _in_arguments(options: _Options, words: Sequence[str], first: int) -> int | None:
    if options.subcommands and not set(options.subcommands).intersection(words[first:]):
        return None
    for position in range(first, len(words)):
        word = words[position]
        if options.leads and not word.startswith("-"):
            return None
        for value, place in _values(options, word, position):
            given = value if place == position else "".join(words[place : place + 1])
            _, separator, secret = (
                given.partition(options.after) if options.after else ("", "x", given)
            )
            if separator and not _REFERENCE.match(secret):
                return place
    return None


def _values(options: _Options, word: str, position: int) -> Iterator[tuple[str, int]]:
    """The value in an option's word with its position, or "" with the position of the next word."""
    for name in options.long:
        if word == name:
            yield "", position + 1
        elif word.startswith(f"{name}="):
            yield word.removeprefix(f"{name}="), position
    if not word.startswith("-") or word.startswith("--"):
        return
    letters = options.letters + options.attached
    if len(word) > 2 and word[1] in letters:
        yield word[2:], position
    elif len(word) > 1 and word[-1] in options.letters and word[1:].isalpha():
        yield "", position + 1  # the last of several letters in one word


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a line as unquoted words, each with the operator before it."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";|&()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    joined: str = ""
    words: list[str] = []
    try:
        for word in lexer:
            if word and not word.strip(";|&()"):
                yield joined, words
                joined, words = word, []
            else:
                words.append(word)
    except ValueError:  # an open quote, which the shell will report
        words = text.split()
    yield joined, words


def _prints_literal(words: list[str]) -> bool:
    """Whether a command prints a literal text."""
    return len(words) > 1 and words[0] in ("echo", "printf") and not _REFERENCE.match(words[-1])


def _reads_secret(words: Sequence[str]) -> bool:
    return any(
        name in _READERS and (not _READERS[name] or _READERS[name] in words[position:])
        for position, name in enumerate(word.rpartition("/")[2] for word in words)
    )
