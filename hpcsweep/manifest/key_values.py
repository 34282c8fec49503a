"""Check the values of a manifest's keys, with a message for each wrong one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from hpcsweep import ids
from hpcsweep.errors import IdentityError
from hpcsweep.manifest import slurm_options
from hpcsweep.manifest.mistakes import described, shown
from hpcsweep.manifest.passwords import holds_password
from hpcsweep.manifest.policies import WHEN
from hpcsweep.quantities import memory_bytes
from hpcsweep.records import MODES

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d)")
# "sqlite" for the file in the sweep directory, or the name of an environment variable.
_STORE = re.compile(r"sqlite|[A-Z][A-Z0-9_]*")
_DB_URL = re.compile(r"sqlite:///(?!:memory:$)[^\n\0]+|[A-Z][A-Z0-9_]*")
_POSTGRESQL_SCHEMA = r"^postgresql(\+psycopg)?://(?![^/]*:[^/@]*@)"
_SECRETS = {"password", "passwd", "sslpassword"}
LINE_SCHEMA = {"type": "string", "pattern": r"^[^\n\r\0]*[^\s\0][^\n\r\0]*$"}
_TIMEOUT_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": f"^{_CLOCK.pattern}$"},
    ]
}
MEMORY_SCHEMA: dict[str, Any] = {
    "type": ["string", "integer"],
    "pattern": "^[0-9]+[KMGTkmgt]?[Bb]?$",
}
# Line ends of a shell, and the end of a string in C.
_LINE_BREAKS = re.compile(r"[\n\r\0]")


def refuse(what: str, next_step: str = "") -> NoReturn:
    """Refuse a value, in the words of a mistake. *Raises* PydanticCustomError."""
    raise PydanticCustomError("manifest", "{what}", {"what": what, "next_step": next_step})


def _name(value: Any) -> str:
    if not isinstance(value, str):
        refuse(f"is {described(value)}, not a text", "Quote it.")
    if not NAME.fullmatch(value):
        refuse(
            f"is {described(value)}, which cannot name a directory and jobs",
            "Use up to 64 letters, digits, '.', '_' and '-', the first no '.' or '-'.",
        )
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(f"is {described(value)}, not a whole number")
    if value.bit_length() > ids.LARGEST_INT_BITS:
        refuse(f"has more than {ids.LARGEST_INT_BITS} bits")
    return value


def _count(value: Any) -> int:
    if _whole(value) < 1:
        refuse(f"is {value}", "It must be 1 or more.")
    return int(value)


def _memory(value: Any) -> int:
    count = None if isinstance(value, bool) else memory_bytes(str(value))
    if count is None:
        refuse(f"is {described(value)}, not an amount of memory", "Write, for example, 64G.")
    return count


def _chunk(value: Any) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse(f"is {described(value)}", "Write auto, or how many cases a task runs: 1 or more.")
    return value


def _timeout(value: Any) -> float:
    hint = "Write seconds above 0, or HH:MM:SS."
    clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if clock:
        hours, minutes, seconds = map(int, clock.groups())
        value = 3600 * hours + 60 * minutes + seconds
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(f"is {described(value)}, not a time", hint)
    if not 0 < value < math.inf:
        refuse(f"is {value} seconds", hint)
    return float(value)


def _store(value: Any) -> str:
    return _database(value, _STORE, "names no database", "Write sqlite, ")


def _db_url(value: Any) -> str:
    return _database(value, _DB_URL, "names no database", "Write sqlite:///FILE, ")


def _database(value: Any, others: re.Pattern[str], what: str, hint: str) -> str:
    text = value if isinstance(value, str) else ""
    url, options = _split(text)
    # A variable in place of the password is refused, too: nothing would substitute it.
    if holds_password(text) or url.password is not None or _SECRETS & options.keys():
        refuse(
            "holds a password, which would be written into files that stay",
            "Use a service file, a password file or the name of an environment variable.",
        )
    is_database = url.scheme in ("postgresql", "postgresql+psycopg") and "://" in text
    if not is_database and not others.fullmatch(text):
        # What it is stays unsaid: it may be a secret in a form that we do not know.
        refuse(
            what,
            f"{hint}postgresql:///?service=NAME, postgresql://user@host/database, or the "
            "NAME of an environment variable that holds such a URL.",
        )
    return text


def _split(text: str) -> tuple[SplitResult, dict[str, list[str]]]:
    """A URL and its query; empty if the text is not a URL."""
    try:
        url = urlsplit(text if text.isprintable() and " " not in text else "")
        url.port  # noqa: B018  # raises if it is not a number: it may be a password
        return url, parse_qs(url.query, keep_blank_values=True)
    except ValueError:
        return urlsplit(""), {}


def _runs(value: Any) -> str:
    return one_of("auto", "all", "packed", "failed", "none")(value)


def _share(value: Any) -> str:
    return one_of("private", "group")(value)


def one_of(*words: str) -> Callable[[Any], str]:
    """A validator for one of these words."""

    def check(value: Any) -> str:
        if value not in words:
            guess = difflib.get_close_matches(str(value), words, n=1)
            hint = f"Did you mean {guess[0]!r}?" if guess else f"Write {' or '.join(words)}."
            refuse(f"is {described(value)}", hint)
        return str(value)

    return check


def _snapshot(value: Any) -> tuple[str, ...] | None:
    hint = "Write auto, none, or a list of patterns: [src/**/*.py, config.toml]."
    if value in ("auto", "none"):
        return () if value == "auto" else None
    if not isinstance(value, list) or not value:
        refuse(f"is {described(value)}", hint)
    for pattern in value:
        if not isinstance(pattern, str) or not pattern or "\0" in pattern:
            refuse(f"holds {described(pattern)}, not a pattern", hint)
        if pattern.startswith(("/", "~")) or ".." in pattern.split("/"):
            refuse(
                f"holds {shown(pattern)}, which leads out of the manifest's directory",
                "Patterns start there: src/**/*.py. Files elsewhere are used as they are.",
            )
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or _LINE_BREAKS.search(value):
        refuse(f"is {described(value)}, not a line of text")
    return value


def _suffix(value: Any) -> str:
    if not isinstance(value, str) or {"/", "\0"} & set(value) or len(value) > 100:
        refuse(f"is {described(value)}, not the end of a file's name", "Write, for example, .npy.")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        refuse(f"is {described(value)}", "Write true or false.")
    return value


def _custom_data(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(f"is {described(value)}, not a mapping", "Write `name: value` below it.")
    try:
        return ids.plain(value, "custom_data")  # type: ignore[no-any-return]
    except IdentityError as error:
        refuse(error.what)


def _setup_line(value: Any) -> str:
    if not isinstance(value, str):
        refuse(f"is {described(value)}, not a line of shell", "Quote it.")
    if not value.strip():
        refuse("is an empty line", "Remove it.")
    if _LINE_BREAKS.search(value):
        refuse("has more than one line", "Give each line an element of its own.")
    return value


def a_list(value: Any) -> Any:
    """A validator for a list, whatever is in it."""
    if not isinstance(value, list):
        refuse(f"is {described(value)}, not a list", "Write one element per line: - module load …")
    return value


def _options(value: Any) -> dict[str, bool | int | str]:
    if not isinstance(value, dict):
        refuse(f"is {described(value)}, not a mapping", "Write `option: value` below it.")
    return value


def _database_schema(others: re.Pattern[str]) -> dict[str, Any]:
    return {
        "type": "string",
        "anyOf": [{"pattern": f"^({others.pattern})$"}, {"pattern": _POSTGRESQL_SCHEMA}],
    }


# --- the types of the values, each with its check and its schema ------------------------------

Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
]
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1})]
OptionalCount = Annotated[Count | None, WithJsonSchema({"type": "integer", "minimum": 1})]
# Bytes.
Memory = Annotated[int | None, BeforeValidator(_memory), WithJsonSchema(MEMORY_SCHEMA)]
# None, written "auto", leaves it to the plan.
Chunk = Annotated[
    int | None,
    BeforeValidator(_chunk),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
]
Seconds = Annotated[float | None, BeforeValidator(_timeout), WithJsonSchema(_TIMEOUT_SCHEMA)]
SetupLines = Annotated[
    list[Annotated[str, BeforeValidator(_setup_line), WithJsonSchema(LINE_SCHEMA)]],
    BeforeValidator(a_list),
]
SlurmOptions = Annotated[
    dict[str, bool | int | str],
    BeforeValidator(_options),
    WithJsonSchema(slurm_options.SCHEMA),
]
Mode = Annotated[str, BeforeValidator(one_of(*MODES)), WithJsonSchema({"enum": list(MODES)})]
When = Annotated[str, BeforeValidator(one_of(*WHEN)), WithJsonSchema({"enum": list(WHEN)})]
StoreName = Annotated[
    str,
    BeforeValidator(_store),
    WithJsonSchema(_database_schema(_STORE)),
]
DatabaseUrl = Annotated[
    str | None, BeforeValidator(_db_url), WithJsonSchema(_database_schema(_DB_URL))
]
Isolation = Annotated[
    Literal["case", "task"],
    BeforeValidator(one_of("case", "task")),
]
Runs = Annotated[Literal["auto", "all", "packed", "failed", "none"], BeforeValidator(_runs)]
Share = Annotated[Literal["private", "group"], BeforeValidator(_share)]
# What `FrozenManifest.snapshot` holds.
Snapshot = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_snapshot),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["auto", "none"]},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ],
            "default": "auto",
        }
    ),
]
Line = Annotated[str | None, BeforeValidator(_text), WithJsonSchema(LINE_SCHEMA)]
Suffix = Annotated[
    str,
    BeforeValidator(_suffix),
    WithJsonSchema({"type": "string", "maxLength": 100, "pattern": r"^[^/\0]*$"}),
]
Switch = Annotated[bool, BeforeValidator(_switch), WithJsonSchema({"type": "boolean"})]
CustomData = Annotated[dict[str, Any], BeforeValidator(_custom_data)]
