"""Members of JSON objects as Arrow arrays: pyarrow decodes many, without an object for each."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpcsweep.ids import FLOAT
from hpcsweep.store.column_kinds import Keys
from hpcsweep.tables.extras import import_extra

if TYPE_CHECKING:
    import pyarrow as pa


# In a text with a number that JSON lacks.
_FLOAT_KEY = f'"{FLOAT}"'.encode()


def arrow_members(
    texts: Sequence[str | None] | pa.Array, members: Mapping[str, Keys], kinds: Mapping[str, str]
) -> dict[str, pa.Array] | None:
    """The value below these keys in each object, by column; null without one.

    None where Python has to decode the texts: pyarrow takes a number that JSON lacks for an object,
    and tells neither null from missing in a column without values nor 1 from 1.0.
    """
    kinds_of = {keys: kinds[name] for name, keys in members.items()}
    if "json" in kinds_of.values():
        return None
    if any(keys[:depth] in kinds_of for keys in kinds_of for depth in range(1, len(keys))):
        return None
    table = _decoded(texts, kinds_of)
    if table is None or table.num_rows != len(texts):
        return None
    compute = import_extra("pyarrow.compute", "parquet", "Arrow")
    arrays = {}
    for name, keys in members.items():
        chunks = table.column(keys[0])
        column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        for key in keys[1:]:
            column = compute.struct_field(column, key)
        if not _is_certain(column, compute):
            return None
        arrays[name] = column
    return arrays


def _decoded(texts: Sequence[str | None] | pa.Array, kinds: Mapping[Keys, str]) -> pa.Table | None:
    """The objects, one in each line, with members of these kinds alone; None if pyarrow cannot."""
    arrow = import_extra("pyarrow", "parquet", "Arrow")
    json = import_extra("pyarrow.json", "parquet", "Arrow")
    try:
        data = _lines(texts, arrow)
        if _FLOAT_KEY in data:
            return None
        return json.read_json(
            arrow.BufferReader(data),
            # All of it as one piece, in this thread.
            read_options=json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=json.ParseOptions(
                explicit_schema=arrow.schema(_fields(kinds, arrow)),
                unexpected_field_behavior="ignore",
            ),
        )
    except (arrow.ArrowException, OverflowError, UnicodeEncodeError):
        return None


def _lines(texts: Sequence[str | None] | pa.Array, arrow: ModuleType) -> bytes:
    """The objects, an empty one for None, each in a line. *Raises* ArrowException."""
    if not isinstance(texts, arrow.Array):
        return "\n".join(text or "{}" for text in texts).encode()
    compute = import_extra("pyarrow.compute", "parquet", "Arrow")
    ends = arrow.Array.from_buffers(
        arrow.int32(), 2, [None, arrow.py_buffer(array("i", (0, len(texts))))]
    )
    whole = arrow.ListArray.from_arrays(ends, compute.fill_null(texts, "{}"))
    data: bytes = compute.binary_join(whole, "\n")[0].as_buffer().to_pybytes()
    return data


def _fields(kinds: Mapping[Keys, str], arrow: Any) -> list[pa.Field]:
    """The fields of an object whose members have these kinds."""
    types = {"int": arrow.int64(), "float": arrow.float64(), "bool": arrow.bool_()}
    below: dict[str, dict[Keys, str]] = {}
    for keys, kind in kinds.items():
        below.setdefault(keys[0], {})[keys[1:]] = kind
    return [
        arrow.field(
            key,
            types.get(inner[()], arrow.string())
            if () in inner
            else arrow.struct(_fields(inner, arrow)),
        )
        for key, inner in below.items()
    ]


def _is_certain(column: pa.Array, compute: Any) -> bool:
    """Whether a column shows what each object has: some value, and no floats that may be ints."""
    if column.null_count == len(column):
        return False
    if str(column.type) != "double":
        return True
    is_whole = compute.equal(column, compute.floor(column))
    return compute.all(is_whole).as_py() is False
