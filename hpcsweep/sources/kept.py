"""What a condition keeps of some factors of a source, in a frozen manifest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import Damaged, SourceError
from hpcsweep.files import create_file, open_regular, unreadable
from hpcsweep.older_python import dataclass
from hpcsweep.sources.caselines import REWRITE
from hpcsweep.sources.keys import ONLY_COPY, checked_keys
from hpcsweep.sources.positions import Positions

# Most positions whose bits a frozen manifest has as hex digits; more are in a file beside it.
INLINE_MAX = 4096


@dataclass(frozen=True, slots=True)
class Kept:
    """The combinations of some factors that a condition keeps."""

    # Their places in `ParameterSource.factors`, ascending.
    factors: tuple[int, ...]
    # Of the number that their positions are the digits of, the last the fastest. The digits of
    # several factors count only what is kept of each alone.
    positions: Positions

    def check_size(self, size: int) -> None:
        """*Raises* SourceError unless there are as many combinations of the factors."""
        if self.positions.size != size:
            raise SourceError(
                f"a condition was tried on {self.positions.size} combinations, but the source has "
                f"{size}",
                where="kept",
                next_step=ONLY_COPY,
            )

    def to_json(self, directory: Path | None) -> dict[str, Any]:
        """The form in a frozen manifest. *Writes* the file of many positions to `directory`."""
        keys = {"factors": list(self.factors), "size": self.positions.size}
        bits = self.positions.bits
        if self.positions.size <= INLINE_MAX:
            return keys | {"bits": bits.hex()}
        name = _file_name(bits)
        # Two sources may keep the same.
        if directory is not None and not (directory / name).exists():
            with create_file(directory / name) as stream:
                stream.write(bits)
        return keys | {"file": name}

    @classmethod
    def of_json(cls, value: Any, where: str, directory: Path) -> Kept:
        """*Raises* SourceError, SweepError."""
        keys = checked_keys(value, ("factors", "size"), ("bits", "file"), where)
        size = keys["size"]
        bits = _file_bits(directory, keys["file"], where) if "file" in keys else b""
        with suppress(ValueError, TypeError):
            bits = bits or bytes.fromhex(keys["bits"])
        if type(size) is not int or len(bits) != -(-size // 8):
            raise SourceError(
                f"{len(bits)} bytes are not the bits of {ids.shown(size)} positions",
                where=where,
                next_step=ONLY_COPY,
            )
        return cls(tuple(keys["factors"]), Positions(bits, size))


_FILE_NAME = re.compile(r"kept-[0-9a-f]{16}\.bits")


def _file_name(bits: bytes) -> str:
    return f"kept-{hashlib.sha256(bits).hexdigest()[:16]}.bits"


def kept_files(frozen: Any) -> Iterator[str]:
    """The names of the files that a frozen manifest's source has for its conditions."""
    if isinstance(frozen, dict):
        if frozen.get("type") == "WhereSource":
            yield from (one["file"] for one in frozen.get("kept", ()) if "file" in one)
        frozen = frozen.values()
    elif not isinstance(frozen, list):
        return
    for value in frozen:
        if isinstance(value, (dict, list)):
            yield from kept_files(value)


def _file_bits(directory: Path, name: Any, where: str) -> bytes:
    if not (isinstance(name, str) and _FILE_NAME.fullmatch(name)):
        raise SourceError(
            f"{ids.shown(name)} is not a file of a frozen manifest",
            where=where,
            next_step=ONLY_COPY,
        )
    return read_bits(directory, name)


def read_bits(directory: Path, name: str) -> bytes:
    """The content of a file of `kept_files`. *Raises* SweepError, Damaged."""
    path = directory / name
    try:
        with open_regular(path) as stream:
            bits = stream.read()
    except OSError as error:
        raise unreadable(path, error) from error
    if path.name != _file_name(bits):
        raise Damaged(
            "was changed after it was written",
            where=str(path),
            next_step=REWRITE,
        )
    return bits
