"""A source in manifests: descriptions of its keys, the methods for both, and shared checks.

Each source class describes its keys in `KIND`. The manifest reader, the JSON Schema, the tables of
the documentation and the suggestions for a misspelt key all use this description.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Union

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError

if TYPE_CHECKING:
    from typing_extensions import Self

    from hpcsweep.sources.caselines import CaseLines

# Arguments that hpcsweep passes to a target by name, so no parameter can have these names.
RESERVED_NAMES = frozenset({"params", "log", "rng", "seed", "case", "checkpoint"})
# What next, where the record of a frozen manifest is damaged: while it cannot be read, the cases
# beside it may be appended ones.
ONLY_COPY = "Restore it from a copy, and leave the files beside it as they are."
# Path to a nested value: keys of mappings and 0-based positions in lists.
Steps = tuple[Union[str, int], ...]
Check = Callable[[], object]


def _unchanged(value: Any, where: str, directory: Path | None) -> Any:  # noqa: ARG001  # one signature for all
    return value


def _no_parts(value: Any, where: str) -> Iterable[tuple[Steps, Check]]:  # noqa: ARG001  # likewise
    return ()


def _no_names(value: Any) -> Iterable[tuple[str, Steps]]:  # noqa: ARG001  # likewise
    return ()


class KeyType(NamedTuple):
    """The type of a key's value."""

    # Description for the documentation.
    noun: str
    # JSON Schema; `manifest.source_schema` has the definitions "#/$defs/…".
    schema: Mapping[str, Any]
    # Converts a value into the argument of the source. The other arguments are where the value
    # stands, for messages, and the directory of a frozen manifest. *Raises* SourceError.
    read: Callable[[Any, str, Path | None], Any] = _unchanged
    # Splits a value into parts with a check for each, so that one run reports all mistakes.
    parts: Callable[[Any, str], Iterable[tuple[Steps, Check]]] = _no_parts
    # Yields the parameter names in a value, each with its path.
    names: Callable[[Any], Iterable[tuple[str, Steps]]] = _no_names
    # Python type of a value that stands directly under its form, without the key.
    shape: type = object


class Key(NamedTuple):
    """One key of a source's manifest dict; also the name of an argument of `from_keys`."""

    # Name in a manifest.
    name: str
    # Type of its value.
    type: KeyType
    # Description for the documentation.
    meaning: str
    # Description of the default, for the documentation; empty for a required key.
    default: str = ""
    # Whether users write it below the form. False for the source beside a modifier and for keys
    # that hpcsweep fills in.
    in_form: bool = True


class Kind(NamedTuple):
    """The description of a kind of source, for manifests and the documentation."""

    # Description of its cases.
    meaning: str
    # Keys of its manifest dict, besides `type` and `total_cases`.
    keys: tuple[Key, ...]
    # Key below `source:`; empty for a kind that a manifest can name only by `type`.
    form: str = ""
    # Name of the key whose value may stand directly under the form.
    alone: str = ""
    # Python expression that makes it, for the documentation.
    python: str = ""
    # Example of the value under its form.
    example: str = ""

    @property
    def is_modifier(self) -> bool:
        """Whether its form stands beside another form and changes the cases of that one."""
        return any(key.name == "source" for key in self.keys)

    @property
    def form_keys(self) -> tuple[Key, ...]:
        """The keys that users write."""
        return tuple(key for key in self.keys if key.in_form)

    @property
    def lone_key(self) -> Key | None:
        """The key whose value may stand directly under the form."""
        return next((key for key in self.keys if key.name == self.alone), None)

    def checked(self, value: Any, where: str) -> Mapping[str, Any]:
        """Check that a manifest dict has the keys of this kind; return it. *Raises* SourceError."""
        required = ("type", *(key.name for key in self.keys if not key.default))
        optional = (*(key.name for key in self.keys if key.default), "total_cases")
        return checked_keys(value, required, optional, where)


# --- checks that sources share ----------------------------------------------------------------


class ManifestMethods(ABC):
    """The methods of `ParameterSource` that write it into manifests, and make it of them."""

    # Its keys in a manifest, and its documentation.
    KIND: ClassVar[Kind]

    @abstractmethod
    def to_manifest_dict(self) -> dict[str, Any]:
        """The source as plain JSON: every case, or the rule that makes them.

        Examples:
            >>> hs.manual([{"a": 1}]).to_manifest_dict()["cases"]
            [{'a': 1}]
        """

    @classmethod
    def from_manifest_dict(
        cls, value: Any, where: str = "source", directory: Path | None = None
    ) -> Self:
        """The source of a dict of `to_manifest_dict`. *Raises* like `source_from_manifest_dict`.

        Examples:
            >>> source = hs.grid(a=[1, 2])
            >>> hs.GridSource.from_manifest_dict(source.to_manifest_dict()).n_cases
            2
        """
        values = cls.KIND.checked(value, where)
        return cls.from_keys(
            **{
                key.name: key.type.read(values[key.name], f"{where}.{key.name}", directory)
                for key in cls.KIND.keys
                if key.name in values
            }
        )

    @classmethod
    def from_keys(cls, **values: Any) -> Self:  # where they are the arguments
        """Make the source from the keys of its manifest dict.

        Examples:
            >>> hs.ManualSource.from_keys(cases=[{"a": 1}, {"a": 2}]).n_cases
            2
        """
        return cls(**values)

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:  # noqa: ARG003
        """A manifest dict of this kind with paths relative to `root` made absolute.

        Examples:
            >>> from pathlib import Path
            >>> hs.TableSource.resolve_paths({"file": "cases.csv"}, Path("/project"))
            {'file': '/project/cases.csv'}
        """
        return value

    def freeze(self, lines: CaseLines) -> dict[str, Any]:  # noqa: ARG002  # for explicit cases
        """The short manifest dict: explicit cases are moved to `lines`.

        Examples:
            >>> from hpcsweep.sources.caselines import CaseLines
            >>> hs.manual([{"a": 1}]).freeze(CaseLines())["first"]
            0
        """
        return self.to_manifest_dict()

    def to_frozen_dict(self) -> dict[str, Any]:
        """The short manifest dict: explicit cases are in the files of `write_frozen`.

        Examples:
            >>> hs.manual([{"a": 1}]).to_frozen_dict()["file"]
            'cases.jsonl'
        """
        return self.frozen()[0]

    def frozen(self) -> tuple[dict[str, Any], str | None]:
        """The short manifest dict, and the SHA-256 of the file of explicit cases, if there is one.

        Explicit cases are gone through once, none is kept.

        Examples:
            >>> described, digest = hs.manual([{"a": 1}]).frozen()
            >>> described["total_cases"], len(digest)
            (1, 64)
        """
        lines = _new_lines()
        return self.freeze(lines), lines.sha256

    def write_frozen(self, directory: Path) -> None:
        """Write the files beside `to_frozen_dict()`, if there are any, durably.

        *Raises* SweepError, also where they are there already.

        Examples:
            >>> hs.manual([{"a": 1}]).write_frozen(log.path)
            >>> log["cases.jsonl"].read_text()
            '{"a":1}\\n'
        """
        with _new_lines(directory) as lines:
            self.freeze(lines)


def _new_lines(directory: Path | None = None) -> CaseLines:
    from hpcsweep.sources.caselines import CaseLines  # noqa: PLC0415  # no task freezes

    return CaseLines(directory)


def fresh(value: Any) -> Any:
    """Copy a plain value; scalars are immutable and are returned as they are."""
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    if isinstance(value, list):
        return [fresh(item) for item in value]
    return value


def check_names(names: Iterable[Any], where: str) -> None:
    """Refuse names that no parameter can have. *Raises* SourceError, IdentityError."""
    for name in names:
        if not isinstance(name, str) or not name:
            raise SourceError(
                f"{ids.shown(name)} is not a parameter name",
                where=where,
                next_step="Name parameters with non-empty text.",
            )
        ids.plain(name, where)  # refuses names that UTF-8 cannot encode
        if name in RESERVED_NAMES:
            raise SourceError(
                f"no parameter can be called {name!r}: hpcsweep passes a value of its own to "
                "a target's argument of this name",
                where=where,
                next_step=f"Rename it; reserved are {', '.join(sorted(RESERVED_NAMES))}.",
            )


def checked_keys(
    mapping: Any, required: Iterable[str], optional: Iterable[str], where: str
) -> Mapping[str, Any]:
    """Check that a value is a mapping with these keys; return it. *Raises* SourceError."""
    if not isinstance(mapping, Mapping):
        raise SourceError(
            f"it has the type {type(mapping).__name__}", where=where, next_step="Give a mapping."
        )
    required = tuple(required)
    names = (*required, *optional)
    for key in mapping:
        if key not in names:
            raise SourceError(
                f"unknown key {ids.shown(key)}", where=where, next_step=nearest(key, names, "key")
            )
    for key in required:
        if key not in mapping:
            raise SourceError(
                f"the key {key!r} is missing",
                where=where,
                next_step=f"Needed are {', '.join(required)}.",
            )
    return mapping


def checked_tags(tags: Any, where: str = "tags") -> tuple[str, ...]:
    """Convert a list of text to a tuple; None becomes an empty one. *Raises* SourceError."""
    tags = [] if tags is None else tags
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise SourceError(
            f"{ids.shown(tags)} is not a list of text",
            where=where,
            next_step='Write it like ["a", "b"].',
        )
    return tuple(ids.plain(tags, where))


def nearest(name: Any, names: Iterable[str], noun: str) -> str:
    """Suggest the nearest known name for an unknown one, and list all known names."""
    # Only for an error message: every import at the top adds to the start time of a worker.
    from difflib import get_close_matches  # noqa: PLC0415

    names = list(names)
    close = get_close_matches(str(name), names, n=1)
    start = f"Did you mean {close[0]!r}? " if close else ""
    return f"{start}Known {noun}s: {', '.join(names)}."


def whole_number(value: Any, where: str, at_least: int | None = None) -> int:
    """Convert `value` to a Python int. *Raises* SourceError for other types, bool included."""
    try:
        number = ids.plain(value, where)
    except IdentityError as error:
        raise SourceError(error.what, where=where, next_step="Give an integer.") from error
    if type(number) is not int:
        raise SourceError(
            f"{ids.shown(value)} is not an integer", where=where, next_step="Give an integer."
        )
    if at_least is not None and number < at_least:
        raise SourceError(
            f"{number} is too small", where=where, next_step=f"Give {at_least} or more."
        )
    return number


# --- types of keys ----------------------------------------------------------------------------


def as_one_part(
    check: Callable[[Any, str], object],
) -> Callable[[Any, str], Iterable[tuple[Steps, Check]]]:
    """Make a `KeyType.parts` from the check of a whole value."""
    return lambda value, where: [((), lambda: check(value, where))]


def names_of(value: Any) -> Iterator[tuple[str, Steps]]:
    """Yield the keys of a mapping as parameter names, with their paths."""
    for name in value if isinstance(value, Mapping) else ():
        yield name, (name,)


INTEGER = KeyType("an integer", {"type": "integer"}, parts=as_one_part(whole_number))
COUNT = KeyType(
    "an integer of 1 or more",
    {"type": "integer", "minimum": 1},
    parts=as_one_part(lambda value, where: whole_number(value, where, at_least=1)),
)
TAGS = KeyType(
    "a list of texts",
    {"type": ["array", "null"], "items": {"type": "string"}},
    parts=as_one_part(checked_tags),
)
PARAMS = KeyType(
    "a mapping of parameters to values",
    {"$ref": "#/$defs/Case", "minProperties": 1},
    names=names_of,
)
SEED = Key("seed", INTEGER, "the seed of the draws, or of the order")
