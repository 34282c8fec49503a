"""The keys of a manifest, and what is wrong with their values in words.

pydantic finds unknown and missing keys and goes on after a mistake; the sentences are ours.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from hpcsweep import ids
from hpcsweep.errors import IdentityError
from hpcsweep.manifest import exclusive, slurm_options, source_schema
from hpcsweep.manifest.mistakes import Mistakes, described
from hpcsweep.manifest.passwords import holds_password

_SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d)")
# The file in the sweep directory, or the name of an environment variable.
_STORE = re.compile(r"sqlite|[A-Z][A-Z0-9_]*")
_DB_URL = re.compile(r"sqlite:///(?!:memory:$)[^\n\0]+|[A-Z][A-Z0-9_]*")
_POSTGRESQL_SCHEMA = r"^postgresql(\+psycopg)?://(?![^/]*:[^/@]*@)"
_SECRETS = {"password", "passwd", "sslpassword"}
_LINE_SCHEMA = {"type": "string", "pattern": r"^[^\n\r\0]*[^\s\0][^\n\r\0]*$"}
_TIMEOUT_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": f"^{_CLOCK.pattern}$"},
    ]
}
# What a shell reads as the end of a line, and what ends a text in C.
_LINE_BREAKS = re.compile(r"[\n\r\0]")


def _refuse(what: str, next_step: str = "") -> NoReturn:
    raise PydanticCustomError("manifest", "{what}", {"what": what, "next_step": next_step})


def _name(value: Any) -> str:
    if not isinstance(value, str):
        _refuse(f"is {described(value)}, not a text", "Quote it.")
    if not _SLUG.fullmatch(value):
        _refuse(
            f"is {described(value)}, which cannot name a directory and jobs",
            "Use up to 64 letters, digits, '.', '_' and '-', the first no '.' or '-'.",
        )
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(f"is {described(value)}, not a whole number")
    if value.bit_length() > ids.LARGEST_INT_BITS:
        _refuse(f"has more than {ids.LARGEST_INT_BITS} bits")
    return value


def _count(value: Any) -> int:
    if _whole(value) < 1:
        _refuse(f"is {value}", "It must be 1 or more.")
    return int(value)


def _chunk(value: Any) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(f"is {described(value)}", "Write auto, or how many cases a task runs: 1 or more.")
    return value


def _timeout(value: Any) -> float:
    hint = "Write seconds above 0, or HH:MM:SS."
    clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if clock:
        hours, minutes, seconds = map(int, clock.groups())
        value = 3600 * hours + 60 * minutes + seconds
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(f"is {described(value)}, not a time", hint)
    if not 0 < value < math.inf:
        _refuse(f"is {value} seconds", hint)
    return float(value)


def _store(value: Any) -> str:
    return _database(value, _STORE, "is no store", "Write sqlite, ")


def _db_url(value: Any) -> str:
    return _database(value, _DB_URL, "names no database", "Write sqlite:///FILE, ")


def _database(value: Any, others: re.Pattern[str], what: str, hint: str) -> str:
    text = value if isinstance(value, str) else ""
    url, options = _split(text)
    # A variable in a password's place is none here: nobody would fill it in.
    if holds_password(text) or url.password is not None or _SECRETS & options.keys():
        _refuse(
            "holds a password, which would be written into files that stay",
            "Use a service file, a password file or the name of an environment variable.",
        )
    is_database = url.scheme in ("postgresql", "postgresql+psycopg") and "://" in text
    if not is_database and not others.fullmatch(text):
        # What it is stays unsaid: it may be a secret in a form that we do not know.
        _refuse(
            what,
            f"{hint}postgresql:///?service=NAME, postgresql://user@host/database, or the "
            "NAME of an environment variable that holds such a URL.",
        )
    return text


def _split(text: str) -> tuple[SplitResult, dict[str, list[str]]]:
    """A URL and its query; empty where there is none."""
    try:
        url = urlsplit(text if text.isprintable() and " " not in text else "")
        url.port  # noqa: B018  # raises for what is no number, which may be a password
        return url, parse_qs(url.query, keep_blank_values=True)
    except ValueError:
        return urlsplit(""), {}


def _runs(value: Any) -> str:
    return _one_of("auto", "all", "packed", "failed", "none")(value)


def _share(value: Any) -> str:
    return _one_of("private", "group")(value)


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            meant = difflib.get_close_matches(str(value), words, n=1)
            hint = f"Did you mean {meant[0]!r}?" if meant else f"Write {' or '.join(words)}."
            _refuse(f"is {described(value)}", hint)
        return str(value)

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or _LINE_BREAKS.search(value):
        _refuse(f"is {described(value)}, not a line of text")
    return value


def _suffix(value: Any) -> str:
    if not isinstance(value, str) or {"/", "\0"} & set(value) or len(value) > 100:
        _refuse(f"is {described(value)}, not the end of a file's name", "Write, for example, .npy.")
    return value


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(f"is {described(value)}", "Write true or false.")
    return value


def _noted(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"is {described(value)}, not a mapping", "Write `name: value` below it.")
    try:
        return ids.plain(value, "custom_data")  # type: ignore[no-any-return]
    except IdentityError as error:
        _refuse(error.what)


def _setup_line(value: Any) -> str:
    if not isinstance(value, str):
        _refuse(f"is {described(value)}, not a line of shell", "Quote it.")
    if not value.strip():
        _refuse("is an empty line", "Remove it.")
    if _LINE_BREAKS.search(value):
        _refuse("has more than one line", "Give each line an element of its own.")
    return value


def _a_list(value: Any) -> Any:
    if not isinstance(value, list):
        _refuse(f"is {described(value)}, not a list", "Write one element per line: - module load …")
    return value


def _options(value: Any) -> dict[str, bool | int | str]:
    if not isinstance(value, dict):
        _refuse(f"is {described(value)}, not a mapping", "Write `option: value` below it.")
    return value


Count = Annotated[int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1})]
_Runs = Literal["auto", "all", "packed", "failed", "none"]


def _key(description: str, **schema: Any) -> Any:
    """What `hpcsweep schema` says of a key; `schema` where the type of the value does not."""
    return Field(description=description, json_schema_extra=schema or None)


class UserManifest(BaseModel):
    """The keys that a manifest may have; target_spec and source_spec look into theirs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[
        str,
        BeforeValidator(_name),
        _key("Names the sweep and its directory.", pattern=f"^{_SLUG.pattern}$"),
    ]
    # Exactly one of target and command.
    target: Annotated[
        Any,
        _key(
            "A Python function: file.py:function, relative to the manifest, or module:function.",
            type="string",
            pattern=r"^(?!.*://).+:[^:]+$",
        ),
    ] = None
    command: Annotated[
        Any,
        _key(
            "A program and its arguments, one element each; {omega} becomes the parameter's value.",
            type="array",
            items={"type": "string"},
            minItems=1,
        ),
    ] = None
    source: Annotated[Any, _key("The cases.")]
    replicates: Annotated[
        Count, _key("How often each case is run, each time with a seed of its own.")
    ] = 1
    seed: Annotated[
        int, BeforeValidator(_whole), _key("Every case derives its own seed from it.")
    ] = 0
    setup: Annotated[
        list[Annotated[str, BeforeValidator(_setup_line), WithJsonSchema(_LINE_SCHEMA)]],
        BeforeValidator(_a_list),
        _key("Trusted lines of shell, run in order before the worker."),
    ] = []
    slurm: Annotated[
        dict[str, bool | int | str],
        BeforeValidator(_options),
        WithJsonSchema(slurm_options.SCHEMA),
        _key("sbatch's own long options without the dashes."),
    ] = {}
    cpus_per_case: Annotated[
        Count | None,
        WithJsonSchema({"type": "integer", "minimum": 1}),
        _key("Another name of slurm's cpus-per-task."),
    ] = None
    # None (written "auto") lets the plan choose.
    chunk: Annotated[
        int | None,
        BeforeValidator(_chunk),
        WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
        _key("How many cases an array task runs one after the other, or auto."),
    ] = None
    store: Annotated[
        str,
        BeforeValidator(_store),
        _key(
            "sqlite, a PostgreSQL URL without a password, or the name of an environment variable.",
            anyOf=[
                {"pattern": f"^({_STORE.pattern})$"},
                {"pattern": _POSTGRESQL_SCHEMA},
            ],
        ),
    ] = "sqlite"
    runs: Annotated[
        _Runs, BeforeValidator(_runs), _key("Which cases keep a run directory, and how.")
    ] = "auto"
    # Seconds.
    case_timeout: Annotated[
        float | None,
        BeforeValidator(_timeout),
        WithJsonSchema(_TIMEOUT_SCHEMA),
        _key("Seconds, or HH:MM:SS, after which one case is ended."),
    ] = None
    share: Annotated[
        Literal["private", "group"],
        BeforeValidator(_share),
        _key("Who may read the sweep directory: its user alone, or the user's group."),
    ] = "private"
    # Of a cache, see cache_spec.
    result_cls: Annotated[
        Any,
        _key(
            "The model of a Store: file.py:Class, relative to the manifest, or module:Class.",
            type="string",
            pattern=r"^(?!.*://).+:[^:]+$",
        ),
    ] = None
    results_dir: Annotated[
        str | None,
        BeforeValidator(_text),
        WithJsonSchema(_LINE_SCHEMA),
        _key("Where a Store has its results, relative to the manifest."),
    ] = None
    file_suffix: Annotated[
        str,
        BeforeValidator(_suffix),
        WithJsonSchema({"type": "string", "maxLength": 100, "pattern": r"^[^/\0]*$"}),
        _key("How the names of results end."),
    ] = ".h5"
    db_url: Annotated[
        str | None,
        BeforeValidator(_db_url),
        WithJsonSchema(
            {
                "type": "string",
                "anyOf": [{"pattern": f"^({_DB_URL.pattern})$"}, {"pattern": _POSTGRESQL_SCHEMA}],
            }
        ),
        _key("The database of the Store, without a password; it has the table of results."),
    ] = None
    use_cache: Annotated[
        bool,
        BeforeValidator(_yes_or_no),
        _key("Whether a result that is there is taken, or made anew.", type="boolean"),
    ] = False
    custom_data: Annotated[
        dict[str, Any], BeforeValidator(_noted), _key("Noted beside each result.")
    ] = {}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, for editors. It lets through what only the loader can see."""
    schema = UserManifest.model_json_schema()
    for key in schema["properties"].values():
        key.pop("title", None)
        if key.get("default", 0) is None:
            del key["default"]
    schema["properties"]["source"]["$ref"] = "#/$defs/Source"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "hpcsweep manifest",
        "description": "What to run, for which parameters, and what each task asks of Slurm.",
        "oneOf": [{"required": ["target"]}, {"required": ["command"]}],
        "$defs": source_schema.definitions(),
    }


def validate(
    raw: dict[str, Any], mistakes: Mistakes, plugin_options: Collection[str] = ()
) -> UserManifest | None:
    """The manifest of these keys; None when there are mistakes."""
    options = raw.get("slurm")
    if isinstance(options, dict):
        _check_options(options, plugin_options, mistakes)
        _check_together(options, raw.get("cpus_per_case"), mistakes)
        raw = {key: value for key, value in raw.items() if key != "slurm"}
    try:
        model = UserManifest.model_validate(raw)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            _translate(problem["type"], problem["loc"], problem.get("ctx", {}), mistakes)
        return None
    return model.model_copy(update={"slurm": options or {}})


def _translate(
    kind: str, path: tuple[str | int, ...], context: dict[str, Any], mistakes: Mistakes
) -> None:
    if kind == "extra_forbidden":
        mistakes.unknown_key(path, UserManifest.model_fields)
    elif kind == "missing":
        mistakes.add((), f"the key {path[-1]!r} is missing", _MISSING.get(str(path[-1]), ""))
    else:
        mistakes.add(path, context.get("what", kind), context.get("next_step", ""))


_MISSING = {
    "name": "Write, for example, name: oscillator.",
    "source": "Write, for example, source: {grid: {omega: [1.0, 2.0]}}.",
}


def _check_options(
    options: dict[str, Any], plugin_options: Collection[str], mistakes: Mistakes
) -> None:
    for name, value in options.items():
        problem = slurm_options.name_problem(name, plugin_options)
        problem = problem or slurm_options.value_problem(name, value)
        if problem:
            mistakes.add(("slurm", name), *problem)


def _check_together(options: dict[str, Any], cpus_per_case: Any, mistakes: Mistakes) -> None:
    for name, other in exclusive.clashes(options):
        place = mistakes.where(("slurm", other))
        mistakes.add(("slurm", name), f"excludes {other} ({place})", "Keep one of them.")
    if cpus_per_case is not None and "cpus-per-gpu" in options:
        place = mistakes.where(("slurm", "cpus-per-gpu"))
        mistakes.add(
            ("cpus_per_case",), f"excludes slurm.cpus-per-gpu ({place})", "Keep one of them."
        )
    cpus = options.get("cpus-per-task", cpus_per_case)
    if cpus_per_case is not None and str(cpus) != str(cpus_per_case):
        mistakes.add(
            ("cpus_per_case",),
            f"is {cpus_per_case}, but slurm.cpus-per-task is {cpus} "
            f"({mistakes.where(('slurm', 'cpus-per-task'))})",
            "Keep one of them.",
        )
