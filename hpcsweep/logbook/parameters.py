"""The params of a run: read as a mapping, saved by a call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.files import parse_json
from hpcsweep.logbook.json_values import json_document, json_value
from hpcsweep.logbook.storage import RunStorage
from hpcsweep.logbook.yamlwrite import params_yaml

_FORMATS = ("yaml", "json")
# Where they are; the first that is there counts.
PARAMS = ("params.yaml", "params.json")
# The lines of ours: a plain key or one in JSON's quotes, then a value that is JSON.
_LINES = re.compile(r'^([A-Za-z_][A-Za-z0-9_.-]*|"(?:[^"\\\n]|\\.)*"): (.+)$', re.MULTILINE)
_decode = json.JSONDecoder().raw_decode
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


class Parameters(Mapping[str, Any]):
    """`log.params`: a mapping that can be called."""

    def __init__(
        self, storage: RunStorage, fixed: Mapping[str, Any] | None, saved: Callable[..., None]
    ) -> None:
        self._storage = storage
        # Those of a case, which its manifest fixed.
        self._fixed = fixed
        self._saved = saved

    def __call__(
        self, more: Mapping[str, Any] | None = None, /, ext: Any = "yaml", **params: Any
    ) -> None:
        """Save params over the known ones: `log.params(omega=1.0)`.

        `ext` is the format, yaml or json. A param that is called `ext` goes into a dict:
        `log.params({"ext": 1})`. *Raises* InputError; then nothing is changed.
        """
        if ext not in _FORMATS:
            raise InputError(
                f"ext={ext!r} is no format of params: yaml or json",
                next_step='A param that is called ext: log.params({"ext": …}).',
            )
        if self._fixed is not None:
            raise InputError(
                "the params of a case are those of its manifest",
                next_step="Keep what comes up while it runs with log.meta(name=value).",
            )
        lost: dict[str, str] = {}
        given = json_value({**(more or {}), **params}, "params", lost)
        write_params(self._storage, dict(self) | given, ext)
        self._saved(f"params ({ext})", "", f"params.{ext}", lost)

    def _known(self) -> Mapping[str, Any]:
        return self._fixed if self._fixed is not None else read_params(self._storage.read)

    def __getitem__(self, name: str) -> Any:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def __repr__(self) -> str:
        return repr(dict(self._known()))


def write_params(storage: RunStorage, params: Mapping[str, Any], ext: str) -> None:
    """Write params that are JSON values. *Writes* `params.<ext>`."""
    storage.write(f"params.{ext}", params_yaml(params) if ext == "yaml" else json_document(params))


def read_params(read: Callable[[str], bytes | None]) -> dict[str, Any]:
    """The params of a run: of `params.yaml`, else of `params.json`, else none.

    `read` gives a file of the run by its name. *Raises* InputError for a damaged file.
    """
    text = read("params.yaml")
    if text is not None:
        return parse_yaml(text)
    text = read("params.json")
    if text is None:
        return {}
    try:
        found = parse_json(text)
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", where="params.json") from error
    if not isinstance(found, dict):
        raise InputError("holds no object of params by name", where="params.json")
    return found


def parse_yaml(data: bytes) -> dict[str, Any]:
    """The mapping in a `params.yaml`; what we wrote is read fast, what others wrote by YAML."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error}", where="params.yaml") from error
    lines = _LINES.findall(text)
    if len(lines) != text.count("\n") or not text.endswith("\n"):
        return _by_yaml(text)
    # One document of all names and values: a call for each of them takes most of the time.
    together = f"[{','.join([f'{_in_json(name)},{value}' for name, value in lines])}]"
    try:
        found, end = _decode(together)
    except (RecursionError, ValueError):
        return _by_yaml(text)
    pairs = iter(found)
    params = dict(zip(pairs, pairs, strict=False))
    # Else a name is there twice, or a value was none by itself: YAML says what it is.
    whole = end == len(together) and len(found) == 2 * len(lines) == 2 * len(params)
    return params if whole else _by_yaml(text)


@lru_cache(maxsize=1000)
def _in_json(name: str) -> str:
    """A name as JSON; nothing, which is none, for what YAML takes for another value."""
    if name.startswith('"'):
        return name
    return "" if name.lower() in _WORDS else f'"{name}"'


def _by_yaml(text: str) -> dict[str, Any]:
    from hpcsweep.yamltext import document  # noqa: PLC0415  # loads a parser of YAML

    found = document(text, "params.yaml").value
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError("holds no mapping of params by name", where="params.yaml")
    return found
