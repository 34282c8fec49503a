"""Read and write the tar format (POSIX ustar, with a pax header for long names)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from hpcsweep.older_python import dataclass

BLOCK = 512
# The end of an archive. Optional for readers; written when a pack is closed.
END = b"\0" * (2 * BLOCK)
_PAX = b"x"
# Largest pax header: it holds one name and one size.
PAX_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a tar."""

    name: str
    # Byte offsets of its header, its content and its end.
    start: int
    content: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the first byte after it."""
        return self.content + padded(self.size)


def padded(size: int) -> int:
    """The size, rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def member(name: str, data: bytes, mtime: float = 0.0) -> bytes:
    """A complete member."""
    return header(name, len(data), mtime) + data + b"\0" * (padded(len(data)) - len(data))


def header(name: str, size: int, mtime: float = 0.0) -> bytes:
    """The header of a member; the caller pads the content."""
    encoded = name.encode(errors="surrogateescape")
    prefix, fits = _split(encoded)
    if not fits or size >= 8**11:
        records = _record("path", encoded) + _record("size", str(size).encode())
        before = _header(b"", b"pax", len(records), mtime, _PAX)
        before += records + b"\0" * (padded(len(records)) - len(records))
        return before + _header(b"", encoded[-100:], size if size < 8**11 else 0, mtime, b"0")
    return _header(prefix, encoded[len(prefix) + bool(prefix) :], size, mtime, b"0")


def _split(name: bytes) -> tuple[bytes, bool]:
    """Split a name into prefix (155 bytes) and name (100 bytes); returns whether it fits."""
    if len(name) <= 100:
        return b"", True
    slash = name.find(b"/", len(name) - 101)
    if slash < 0 or slash > 155:
        return b"", False
    return name[:slash], True


def _record(key: str, value: bytes) -> bytes:
    """A record of a pax header: its own length in decimal, the key, the value."""
    rest = b" %s=%s\n" % (key.encode(), value)
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d%s" % (length, rest)


def _header(prefix: bytes, name: bytes, size: int, mtime: float, kind: bytes) -> bytes:
    fields = b"".join(
        [
            name.ljust(100, b"\0"),
            b"0000600\0" + b"0000000\0" * 2,
            b"%011o\0%011o\0" % (size, max(0, int(mtime))),
            b" " * 8,
            kind,
            b"\0" * 100,
            b"ustar\00000",
            b"\0" * 80,
            prefix.ljust(155, b"\0"),
        ]
    ).ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def members(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[Member]:
    """The complete members between two offsets; stops at a truncated or damaged one.

    `read(offset, size)` returns bytes, fewer at the end of the file. If nothing is damaged, the
    last member ends at `end`, or the end of the archive follows it.
    """
    offset, long_name, long_size = start, None, None
    begin = start
    while offset + BLOCK <= end:
        parsed = _parse_header(read(offset, BLOCK))
        if parsed is None:
            return
        name, size, kind = parsed
        content = offset + BLOCK
        if kind == _PAX:
            records = _parse_pax(read(content, size)) if size <= PAX_MAX else None
            if records is None:
                return
            long_name, long_size = records
            offset = content + padded(size)
            continue
        size = size if long_size is None else long_size
        if content + size > end:
            return
        yield Member(long_name or name, begin, content, size)
        offset = begin = content + padded(size)
        long_name = long_size = None


def first_member(data: bytes, name: str) -> bytes | None:
    """The content of the first member of that name, in bytes that should be complete members.

    Fast: does not verify checksums. None if it is not found, has a long name, or follows a
    damaged member.
    """
    encoded, offset = name.encode() + b"\0", 0
    if len(encoded) > 100:
        return None
    while offset + BLOCK <= len(data):
        size = _octal(data[offset + 124 : offset + 135])
        if size is None:
            return None
        if data.startswith(encoded, offset):
            content = data[offset + BLOCK : offset + BLOCK + size]
            return content if len(content) == size else None
        offset += BLOCK + padded(size)
    return None


def _octal(field: bytes) -> int | None:
    """The number in a field of digits. int() also accepts a sign, and is slow on long input."""
    return int(field, 8) if _OCTAL.issuperset(field) and field else None


_OCTAL = frozenset(b"01234567")


def _parse_header(block: bytes) -> tuple[str, int, bytes] | None:
    """Name, size and type in a header; None for an invalid one."""
    if len(block) < BLOCK or block[257:262] != b"ustar":
        return None
    checksum, size = _octal(block[148:154]), _octal(block[124:135])
    if size is None or checksum != sum(block) - sum(block[148:156]) + 8 * 32:
        return None
    name, prefix = block[:100].rstrip(b"\0"), block[345:500].rstrip(b"\0")
    return os.fsdecode(prefix + b"/" + name if prefix else name), size, block[156:157]


def _parse_pax(records: bytes) -> tuple[str | None, int | None] | None:
    """Name and size in a pax header; None for a damaged one."""
    fields = {}
    while records:
        digits, _, _ = records.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < _DIGITS_MAX else 0
        record = records[:length]
        if length <= len(digits) + 1 or len(record) < length or not record.endswith(b"\n"):
            return None
        key, _, value = record[len(digits) + 1 : -1].partition(b"=")
        fields[key] = value
        records = records[length:]
    path, size = fields.get(b"path"), fields.get(b"size")
    if size is not None and not (size.isdigit() and len(size) < _DIGITS_MAX):
        return None
    return (None if path is None else os.fsdecode(path)), None if size is None else int(size)


# The size of a number that can be a file size.
_DIGITS_MAX = 20
