"""The kinds of the values in JSON documents, by their keys: they become the columns of a table."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter, methodcaller
from typing import Any, NamedTuple

from hpcsweep.ids import FLOAT
from hpcsweep.logbook.json_values import float_of
from hpcsweep.store import exact_json, schema
from hpcsweep.store.blocks import Digest

# The keys from a mapping down to a value.
Keys = tuple[str, ...]
# "int", "float", "bool", "str" or "json" by keys; "" where all values are null.
Kinds = dict[Keys, str]

INT64 = 2**63
_values = methodcaller("values")


def parse_documents(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Decode JSON objects together: one by one takes three times as long."""
    text = f"[{','.join(texts)}]"
    documents: list[dict[str, Any]]
    if f'"{FLOAT}"' in text:  # a number that JSON lacks
        documents = json.loads(text, object_hook=float_of)
    else:
        documents = exact_json.loads(text.encode())
    return documents


def learn(kinds: Kinds, documents: Collection[Mapping[str, Any]], above: Keys = ()) -> None:
    """Merge the kinds of all values into `kinds`: in any order, the result is the same.

    A key that holds values and mappings has the kind of its values; the mappings have keys of
    their own.
    """
    for name, found in _by_name(documents):
        keys, values = (*above, name), found
        types = set(map(type, values))
        if any(issubclass(type_, Mapping) for type_ in types):
            below = [value for value in values if isinstance(value, Mapping) and value]
            learn(kinds, below, keys)
            values = [value for value in values if not isinstance(value, Mapping) or not value]
            types = set(map(type, values))
        if values:
            names = {_kind_of_type(type_) for type_ in types}
            if "int" in names and not fit_int64(values, types):
                names.add("json")
            kinds[keys] = joined_kind({*names, kinds.get(keys, "")})


def _by_name(documents: Collection[Mapping[str, Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The values below each key."""
    fields = set(map(tuple, documents))
    if len(fields) == 1:
        yield from zip(fields.pop(), zip(*map(_values, documents), strict=True), strict=True)
        return
    for name in set(chain.from_iterable(fields)):
        yield name, [document[name] for document in documents if name in document]


def values_at(
    documents: Sequence[Any], keys: Keys, *, is_nested: bool = True
) -> tuple[list[Any], list[int]]:
    """The value below these keys in each document, and the positions of those that are null.

    None without a value, and where `is_nested` for a mapping with keys: it has columns of its own.
    """
    above, last = keys[:-1], keys[-1]
    for key in above:
        documents = [item.get(key) if isinstance(item, dict) else None for item in documents]
    if above:
        documents = [item if isinstance(item, dict) else {} for item in documents]
    try:
        values = list(map(itemgetter(last), documents))
    except KeyError:
        values = [item.get(last) for item in documents]
    nulls: list[int] = []
    types = set(map(type, values))
    if type(None) in types:
        nulls = [at for at, value in enumerate(values) if value is None and last in documents[at]]
    if is_nested and dict in types:
        values = [None if type(value) is dict and value else value for value in values]
    return values, nulls


def joined_kind(kinds: set[str]) -> str:
    """The kind that holds values of all these kinds."""
    names = kinds - {""}
    if len(names) <= 1:
        return next(iter(names), "")
    return "float" if names == {"int", "float"} else "json"


def fit_int64(values: Sequence[Any], types: set[type]) -> bool:
    """Whether the integers among values of these types, at least one, have 64 bits."""
    integers = values if types == {int} else [value for value in values if isinstance(value, int)]
    return min(integers) >= -INT64 and max(integers) < INT64


@lru_cache(maxsize=256)
def _kind_of_type(of: type) -> str:
    for type_, kind in ((type(None), ""), (bool, "bool"), (int, "int"), (float, "float")):
        if issubclass(of, type_):
            return kind
    return "str" if issubclass(of, str) else "json"


# --- by block ------------------------------------------------------------------------------------

# The columns of JSON documents.
_DOCUMENTS = ("params", "metrics", "carried")


class ColumnKinds(NamedTuple):
    """The kinds of the values in each column of JSON documents."""

    params: Kinds
    metrics: Kinds
    carried: Kinds


def merged(of_blocks: Iterable[Sequence[Any]]) -> ColumnKinds:
    """The kinds of all blocks, from the KINDS of each."""
    merged_kinds = ColumnKinds({}, {}, {})
    for block in of_blocks:
        for kinds, pairs in zip(merged_kinds, block, strict=True):
            for keys, kind in pairs:
                of = tuple(keys)
                kinds[of] = joined_kind({kind, kinds.get(of, "")})
    return merged_kinds


def _kinds(
    _indices: Sequence[int], columns: Sequence[Sequence[Any]]
) -> list[list[tuple[Keys, str]]]:
    texts = ([text for text in column if text is not None] for column in columns)
    return of_documents(*map(parse_documents, texts))


def of_documents(*columns: Collection[Mapping[str, Any]]) -> list[list[tuple[Keys, str]]]:
    """The digest KINDS of a block, from its documents by column."""
    made = []
    for documents in columns:
        kinds: Kinds = {}
        learn(kinds, documents)
        made.append(sorted(kinds.items()))
    return made


def _unite(of_blocks: Iterable[Sequence[Any]]) -> list[list[tuple[Keys, str]]]:
    return [sorted(kinds.items()) for kinds in merged(of_blocks)]


KINDS = Digest(
    column="kinds",
    columns=tuple(schema.column(name) for name in _DOCUMENTS),
    make=_kinds,
    join=lambda kept, new: _unite([kept, new]),
    unite=_unite,
    names=_DOCUMENTS,
)
