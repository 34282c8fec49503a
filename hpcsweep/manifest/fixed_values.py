"""Fixed arguments of a target that are objects in Python: files that name their content.

.hpcsweep/fixed/<digest>.npy    an array; several by name are .npz, plain values .json
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import IdentityError, InputError
from hpcsweep.manifest.generated_files import DIRECTORY, GeneratedFiles

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Of each member of an archive, so that equal arrays make equal files.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def fixed_files_of(values: Mapping[str, Any], generated: GeneratedFiles) -> dict[str, Any]:
    """The paths of the files of fixed arguments; a text or Path is the path of a file that exists.

    The files of the others are added to `generated`. *Raises* InputError for an object that has no
    file format without pickle.
    """
    return {
        name: os.fspath(value)
        if isinstance(value, (str, os.PathLike))
        else _add(value, f"fixed.{name}", generated)
        for name, value in values.items()
    }


def _add(value: Any, where: str, generated: GeneratedFiles) -> str:
    data, suffix = _encoded(value, where)
    name = f"{DIRECTORY}/fixed/{hashlib.sha256(data).hexdigest()[:16]}{suffix}"
    generated[name] = data
    return name


def _encoded(value: Any, where: str) -> tuple[bytes, str]:
    import numpy as np  # noqa: PLC0415  # for sweeps with fixed objects only

    if isinstance(value, np.ndarray):
        return _array_bytes(value, where), ".npy"
    if isinstance(value, Mapping) and any(isinstance(each, np.ndarray) for each in value.values()):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, array in value.items():
                data = _array_bytes(np.asarray(array), f"{where}.{name}")
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", _NO_TIME), data)
        return stream.getvalue(), ".npz"
    try:
        plain = ids.plain(value, where)
    except IdentityError as error:
        raise InputError(
            f"{type(value).__name__} has no file format without pickle",
            where=error.where or where,
            next_step="Give arrays, a dict of arrays or plain values; or write a file, and give "
            "its path to a parameter that the function reads.",
        ) from error
    return json.dumps(plain, ensure_ascii=False).encode(), ".json"


def _array_bytes(array: npt.NDArray[np.generic], where: str) -> bytes:
    import numpy as np  # noqa: PLC0415  # for sweeps with fixed objects only

    if array.dtype.hasobject:
        raise InputError(
            f"an array of {array.dtype} cannot be written without pickle",
            where=where,
            next_step="Give an array of numbers, bools or texts of fixed length.",
        )
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
