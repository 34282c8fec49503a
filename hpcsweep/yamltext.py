"""Parse YAML or JSON files into plain values with their file and line.

YAML follows the core schema of YAML 1.2, unlike PyYAML (1.1): `1e-3` is a number, `on` is text, and
`1:30` is not sexagesimal. Only this module imports the YAML library.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from hpcsweep.errors import ManifestError
from hpcsweep.older_python import dataclass

# A manifest of a million explicit cases is about this large; a larger file is something else.
FILE_BYTES_MAX = 64 * 1024 * 1024
# Limit of values after expanding all aliases of a YAML file ("billion laughs").
ALIASED_VALUES_MAX = 1_000_000
# Limit of nesting; far above what people write, far below Python's recursion limit.
DEPTH_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """The value of a file, and the lines of its parts."""

    # None for an empty file.
    value: Any
    # The name of the file in messages.
    name: str
    # The 1-based line of the value at a path of keys and 0-based positions.
    line: Callable[[tuple[str | int, ...]], int] = field(repr=False)
    # The text of an unquoted number at a path; None of an integer that Python writes alike, and of
    # all else.
    text: Callable[[tuple[str | int, ...]], str | None] = field(
        default=lambda _path: None, repr=False
    )
    # The content of files that it names and that are not written yet, by their relative paths.
    generated: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def where(self, path: tuple[str | int, ...] = ()) -> str:
        """`file:line` of the key or element at `path`, or of its nearest existing parent."""
        return f"{self.name}:{self.line(path)}"

    def options(self, path: tuple[str | int, ...], value: Any) -> Any:
        """`value`, that at `path`, with the numbers of a mapping as they are written.

        For options of another program: `account: 00123` is that text, not 123.
        """
        if not isinstance(value, dict):
            return value
        numbers = [key for key, one in value.items() if type(one) in (int, float)]
        texts = {key: self.text((*path, key)) for key in numbers}
        return value | {key: text for key, text in texts.items() if text is not None}


def load(path: Path) -> Document:
    """Load a YAML (`.yaml`, `.yml`) or JSON (`.json`) file.

    *Raises* ManifestError with file and line for any error in it.
    """
    text = _read(path)
    if path.suffix not in (".json", ".yaml", ".yml"):
        what = f"has the suffix {path.suffix!r}" if path.suffix else "has no suffix"
        next_step = "Name it *.yaml, *.yml or *.json: the suffix says how it is read."
        raise ManifestError(what, where=str(path), next_step=next_step)
    return json_document(text, str(path)) if path.suffix == ".json" else document(text, str(path))


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word most similar to `word`; `cutoff` from 0 (any) to 1 (identical)."""
    matches = difflib.get_close_matches(word, sorted(words), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        kind = {FileNotFoundError: "there is no such file", IsADirectoryError: "is a directory"}
        what = kind.get(type(error), f"cannot be read: {error.strerror}")
        next_step = "Name a file that you may read; `hpcsweep init` writes a manifest."
        raise ManifestError(what, where=str(path), next_step=next_step) from error
    if len(data) > FILE_BYTES_MAX:
        raise ManifestError(f"is larger than {FILE_BYTES_MAX // 2**20} MiB", where=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"{path}:{line}"
        raise ManifestError("is not UTF-8", where=where, next_step="Save it as UTF-8.") from error


# The C parser is ten times faster; both produce the same events.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Python's default limit for decimal integers.
_DIGITS_MAX = 4300
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Tags that match the type of the plain value; others are refused.
_TAGS = {
    yaml.ScalarEvent: "tag:yaml.org,2002:str",
    yaml.SequenceStartEvent: "tag:yaml.org,2002:seq",
    yaml.MappingStartEvent: "tag:yaml.org,2002:map",
}
# Characters that look like a minus, and those that are not seen at all.
_LOOKALIKES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-") | dict.fromkeys(
    map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
)
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def scalar(text: str) -> Any:
    """The value of an unquoted YAML 1.2 scalar. *Raises* ValueError for too large a number."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > _DIGITS_MAX:
            raise ValueError(f"an integer of more than {_DIGITS_MAX} digits")
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return _finite(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def _number_meant(text: str) -> str | None:
    """The number that a text looks like to a reader, but is not; None if there is none.

    Word processors, web pages and PDF files have a minus sign, spaces and digits of their own.
    """
    meant = unicodedata.normalize("NFKC", text).translate(_LOOKALIKES).strip()
    is_number = meant != text and isinstance(scalar(meant), (int, float)) and meant not in _WORDS
    return meant if is_number else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond the largest number of 64 bits, 1.8e308")
    return number


def document(text: str, name: str, *, is_typed: bool = True) -> Document:
    """Parse one YAML document. *Raises* ManifestError with `name` and the line.

    `is_typed`: people wrote it, so a text that only looks like a number is a mistake.
    """
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd:
        where = _location(name, text, odd.start())
        raise ManifestError(f"holds the control character {odd.group()!r}", where=where)
    try:
        root = _Reader(name, is_typed=is_typed).read(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # the built-in limit of newer parsers
            raise _too_deep(name) from error
        raise _syntax_error(name, text, error) from error
    try:
        value = _plain(root)
    except RecursionError as error:  # nested lists of aliases
        raise _too_deep(name) from error
    _check(value, text, name)
    return Document(
        value=value,
        name=name,
        line=lambda path: _at(root, path)[0],
        text=lambda path: _at(root, path)[1].number_text(),
    )


@dataclass(slots=True)
class _Node:
    """A value with its position in the file."""

    line: int
    # A scalar, a list of nodes, or a dict of (line of the key, node).
    value: Any
    # Count of values in it after expanding aliases; a text counts one per 100 characters.
    size: int = 1
    # Of an unquoted number that Python writes otherwise.
    text: str | None = None
    # While a mapping is read, between a key and its value: the key and its line.
    key: tuple[str, int] | None = None

    def number_text(self) -> str | None:
        """See `Document.text`."""
        return str(self.value) if self.text is None and type(self.value) is float else self.text


class _Reader:
    """Builds nodes from PyYAML's events; PyYAML's own composer can overflow the C stack."""

    def __init__(self, name: str, *, is_typed: bool) -> None:
        self._name = name
        self._is_typed = is_typed
        self._open: list[_Node] = []
        self._anchors: dict[str, _Node] = {}
        self._aliased = 0
        self._root: _Node | None = None

    def read(self, events: Iterable[Any]) -> _Node:
        """The root node; its value is None for an empty file."""
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.CollectionEndEvent):
                closed = self._open.pop()
                if self._open:
                    self._open[-1].size += closed.size
            elif isinstance(event, yaml.NodeEvent):
                self._attach(event, line)
            elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                raise self._error("a second document begins here", line, "Keep one document.")
        return self._root or _Node(1, None)

    def _attach(self, event: Any, line: int) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            parent.key = (self._key(event, line, parent.value), line)
            return
        node = self._new(event, line)
        if parent is None:
            self._root = node
        elif parent.key is None:
            parent.value.append(node)
        else:
            key, key_line = parent.key
            parent.value[key] = (key_line, node)
            parent.key = None
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append(node)
            if len(self._open) > DEPTH_MAX:  # libyaml takes 18 s for 100,000 brackets
                raise _too_deep(f"{self._name}:{line}")
        elif parent is not None:
            parent.size += node.size

    def _new(self, event: Any, line: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        if event.tag not in (None, _TAGS[type(event)]):
            what = f"the tag {event.tag} is not known"
            raise self._error(what, line, "Remove it; a text can be quoted.")
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            node = _Node(line, value, 1 + len(event.value) // 100)
            if type(value) in (int, float) and str(value) != event.value:
                node.text = event.value
        else:
            node = _Node(line, {} if isinstance(event, yaml.MappingStartEvent) else [])
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: Any, line: int) -> Any:
        if not event.implicit[0]:  # quoted, a block, or tagged as a string
            return event.value
        try:
            value = scalar(event.value)
            is_odd = self._is_typed and not event.value.isascii()
            meant = _number_meant(event.value) if is_odd else None
        except ValueError as error:
            raise self._error(str(error), line) from error
        if meant is None:
            return value
        odd = next(character for character in event.value if not character.isascii())
        name = unicodedata.name(odd, "")
        what = f"{event.value!a} looks like {meant}, but has the character U+{ord(odd):04X} {name}"
        raise self._error(what, line, f"Type {meant}, or quote the text if it is meant.")

    def _key(self, event: Any, line: int, mapping: dict[str, tuple[int, _Node]]) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error("a key is a list, a mapping or an alias", line, "Write a text.")
        key = self._scalar(event, line)
        if not isinstance(key, str):
            what = f"the key {event.value} is not a text"
            raise self._error(what, line, f'Quote it: "{event.value}".')
        if key == "<<" and event.implicit[0]:
            raise self._error("YAML 1.2 has no merge key <<", line, "Write the keys out.")
        if key in mapping:
            first = mapping[key][0]
            what = f"the key {key!r} is there twice (first in line {first})"
            raise self._error(what, line, "Keep one.")
        return key

    def _alias(self, anchor: str, line: int) -> _Node:
        node = self._anchors.get(anchor)
        if node is None:
            raise self._error(f"the alias *{anchor} has no anchor &{anchor} before it", line)
        if any(node is outer for outer in self._open):
            raise self._error(f"the value of &{anchor} contains itself", line)
        self._aliased += node.size
        if self._aliased > ALIASED_VALUES_MAX:
            what = f"the aliases stand for more than {ALIASED_VALUES_MAX:,} values"
            raise self._error(what, line, "Write out what is meant.")
        return node

    def _error(self, what: str, line: int, next_step: str = "") -> ManifestError:
        return ManifestError(what, where=f"{self._name}:{line}", next_step=next_step)


def _plain(node: _Node) -> Any:
    """The value of a node; each alias gets its own copy."""
    if isinstance(node.value, dict):
        return {key: _plain(part) for key, (_, part) in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(part) for part in node.value]
    return node.value


def _at(node: _Node, path: tuple[str | int, ...]) -> tuple[int, _Node]:
    """The line of the key or element at `path`, and its node; or those of its nearest parent."""
    line = node.line
    for step in path:
        parts = node.value
        if isinstance(parts, dict) and step in parts:
            line, node = parts[step]
        elif isinstance(parts, list) and isinstance(step, int) and 0 <= step < len(parts):
            node = parts[step]
            line = node.line
        else:
            break
    return line, node


def _syntax_error(name: str, text: str, error: yaml.MarkedYAMLError) -> ManifestError:
    mark = error.problem_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    line = "".join(text.splitlines()[mark.line : mark.line + 1]) if mark else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        what, next_step = "a tab is used as indentation", "YAML wants spaces."
    else:
        context = f" ({error.context})" if error.context else ""
        what = f"is not YAML: {error.problem}{context}"
        next_step = "Look at this line and the one before it: indentation, quotes, brackets."
    return ManifestError(what, where=where, next_step=next_step)


_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)')
_SURROGATE = re.compile(r"\\[uU](0000)?[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\n\r]*")


def json_document(text: str, name: str) -> Document:
    """Parse one JSON document. *Raises* ManifestError with `name` and the line."""
    if not text.strip():
        return document("", name)
    try:
        value = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_finite, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"is not JSON: {error.msg}",
            where=f"{name}:{error.lineno}:{error.colno}",
            next_step="Look at this line and the one before it: commas, quotes, brackets.",
        ) from error
    except RecursionError as error:
        raise _too_deep(name) from error
    except ValueError as error:
        raise _hook_error(text, name) from error
    _check(value, text, name)
    return Document(
        value=value,
        name=name,
        line=lambda path: _json_line(text, path),
        text=lambda path: _json_float(value, text, path),
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is there twice")
    return mapping


def _hook_error(text: str, name: str) -> ManifestError:
    """The error for a value that our JSON hooks refused; finds its position."""
    for token in _NO_NUMBER.finditer(text):
        if token.group(1):
            where = _location(name, text, token.start())
            return ManifestError(f"{token.group()} is not a JSON number", where=where)
    try:
        document(text.replace("\t", " "), name)  # JSON without tabs is YAML
    except ManifestError as error:
        return error
    return ManifestError("has a key twice or too large a number", where=name)


def _json_line(text: str, path: tuple[str | int, ...]) -> int:
    """The line of the key or element at `path`, or of its nearest parent."""
    return text.count("\n", 0, _json_offsets(text, path)[0]) + 1


def _json_float(value: Any, text: str, path: tuple[str | int, ...]) -> str | None:
    """The text of the number at `path` if it is a float; JSON has one text for each integer."""
    for step in path:
        value = value[step]
    if type(value) is not float:
        return None
    match = _FLOAT.match(text, _json_offsets(text, path)[1])
    return match.group() if match else None


def _json_offsets(text: str, path: tuple[str | int, ...]) -> tuple[int, int]:
    """Offsets of the key or element at `path`, or of its nearest parent, and of its value.

    Parses and discards the values before it.
    """
    decoder = json.JSONDecoder()
    at = shown = _skip(text, 0)
    for step in path:
        offsets = _part_offsets(decoder, text, at, step)
        if offsets is None:
            break
        shown, at = offsets
    return shown, at


def _part_offsets(
    decoder: json.JSONDecoder, text: str, at: int, step: str | int
) -> tuple[int, int] | None:
    """Offsets of key (or element) `step` and of its value, in the list or object at `at`."""
    if text[at] != ("{" if isinstance(step, str) else "["):
        return None
    position = 0
    at = _skip(text, at + 1)
    while text[at] not in "]}":
        start, name = at, position
        if isinstance(step, str):
            name, at = decoder.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # skip the colon
        if name == step:
            return start, at
        at = _skip(text, decoder.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        position += 1
    return None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _check(value: Any, text: str, name: str) -> None:
    """*Raises* ManifestError for nesting that is too deep, and text that UTF-8 cannot encode."""
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False, check_circular=False).encode()
        except UnicodeEncodeError as error:
            raise ManifestError("has half a surrogate pair, \\ud800…", where=name) from error
    level = [[value]]
    for _ in range(DEPTH_MAX + 1):
        parts = [part for parts in level for part in parts]
        level = [part for part in parts if isinstance(part, list)]
        level += [list(part.values()) for part in parts if isinstance(part, dict)]
        if not level:
            return
    raise _too_deep(name)


def _too_deep(where: str) -> ManifestError:
    return ManifestError(f"has lists or mappings nested more than {DEPTH_MAX} deep", where=where)


def _location(name: str, text: str, offset: int) -> str:
    return f"{name}:{text.count(chr(10), 0, offset) + 1}"
