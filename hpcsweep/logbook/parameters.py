"""`log.params`: read as a mapping, saved by a call."""

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
# In order of preference.
PARAMS = ("params.yaml", "params.json")
# Lines as we write them: a plain or JSON-quoted key, then a JSON value.
_LINES = re.compile(r'^([A-Za-z_][A-Za-z0-9_.-]*|"(?:[^"\\\n]|\\.)*"): (.+)$', re.MULTILINE)
_decode = json.JSONDecoder().raw_decode
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


class Parameters(Mapping[str, Any]):
    """`log.params`: a callable mapping."""

    def __init__(
        self, storage: RunStorage, fixed: Mapping[str, Any] | None, saved: Callable[..., None]
    ) -> None:
        self._storage = storage
        # The params of a case, which the manifest fixed.
        self._fixed = fixed
        self._saved = saved

    def __call__(
        self, more: Mapping[str, Any] | None = None, /, ext: Any = "yaml", **params: Any
    ) -> None:
        """Save params, merged over the existing ones: `log.params(omega=1.0)`.

        `ext` is the format, yaml or json. Pass a param named `ext` in a dict:
        `log.params({"ext": 1})`. *Raises* InputError; nothing is changed then.
        """
        if ext not in _FORMATS:
            raise InputError(
                f"ext={ext!r} is not a format of params: yaml or json",
                next_step='A param that is called ext: log.params({"ext": …}).',
            )
        if self._fixed is not None:
            raise InputError(
                "the params of a case are those of its manifest",
                next_step="Record what the run finds out with log.meta(name=value).",
            )
        lost: dict[str, str] = {}
        given = json_value({**(more or {}), **params}, "params", lost)
        write_params(self._storage, dict(self) | given, ext)
        self._saved(f"params ({ext})", "", f"params.{ext}", lost)

    def _values(self) -> Mapping[str, Any]:
        return self._fixed if self._fixed is not None else read_params(self._storage.read)

    def __getitem__(self, name: str) -> Any:
        return self._values()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return repr(dict(self._values()))


def write_params(storage: RunStorage, params: Mapping[str, Any], ext: str) -> None:
    """Write params that are JSON values already. *Writes* `params.<ext>`."""
    storage.write(f"params.{ext}", params_yaml(params) if ext == "yaml" else json_document(params))


def read_params(read: Callable[[str], bytes | None]) -> dict[str, Any]:
    """The params of a run, from `params.yaml` or else `params.json`; empty without either.

    `read` returns a file of the run by name. *Raises* InputError for a damaged file.
    """
    text = read("params.yaml")
    if text is not None:
        return parse_yaml(text)
    text = read("params.json")
    if text is None:
        return {}
    try:
        params = parse_json(text)
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", where="params.json") from error
    if not isinstance(params, dict):
        raise InputError("holds no object of params by name", where="params.json")
    return params


def parse_yaml(data: bytes) -> dict[str, Any]:
    """The mapping in a `params.yaml`. Our own format is parsed fast; other files by PyYAML."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: {error}", where="params.yaml") from error
    lines = _LINES.findall(text)
    if len(lines) != text.count("\n") or not text.endswith("\n"):
        return _parse_any_yaml(text)
    # Parse all names and values as one JSON array: one call per line would dominate the cost.
    together = f"[{','.join([f'{_json_key(name)},{value}' for name, value in lines])}]"
    try:
        values, end = _decode(together)
    except (RecursionError, ValueError):
        return _parse_any_yaml(text)
    pairs = iter(values)
    params = dict(zip(pairs, pairs))
    # Otherwise a name is repeated, or a line is not one JSON value: let the YAML parser decide.
    whole = end == len(together) and len(values) == 2 * len(lines) == 2 * len(params)
    return params if whole else _parse_any_yaml(text)


@lru_cache(maxsize=1000)
def _json_key(name: str) -> str:
    """A key as JSON; empty, which is invalid JSON, for a word that YAML reads as another type."""
    if name.startswith('"'):
        return name
    return "" if name.lower() in _WORDS else f'"{name}"'


def _parse_any_yaml(text: str) -> dict[str, Any]:
    from hpcsweep.yamltext import document  # noqa: PLC0415  # loads PyYAML

    params = document(text, "params.yaml", is_typed=False).value
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise InputError("holds no mapping of params by name", where="params.yaml")
    return params
