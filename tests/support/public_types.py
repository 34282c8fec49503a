"""The types of public names by pyright's `--verifytypes`: a program that lists what is not known.

python -m tests.support.public_types

Pyright looks at every module that has no underscore; what counts are the names of
`hpcsweep.__all__`, with the classes that they inherit from.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import hpcsweep
from tests.support.docstrings import public_values

REPOSITORY = Path(__file__).parents[2]


def unknown_types() -> list[str]:
    """The public symbols whose type is not known, or depends on the type checker; with reasons."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Elsewhere: a package in the working directory is not looked at as an installed one.
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pyright", "--pythonpath", sys.executable),
                *("--verifytypes", hpcsweep.__name__, "--ignoreexternal", "--outputjson"),
            ],
            cwd=elsewhere,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
    if not done.stdout:
        raise ModuleNotFoundError(done.stderr.strip())
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    public = public_symbols()
    known = {symbol["name"] for symbol in symbols}
    return sorted(
        [f"{name}: pyright does not see it" for name in public - known]
        + [_described(symbol) for symbol in symbols if _is_bad(symbol, public)]
    )


def public_symbols() -> set[str]:
    """Where public names and the bases of public classes are defined."""
    found = set()
    for _, value in public_values():
        for owner in value.__mro__ if inspect.isclass(value) else [value]:
            if owner.__module__.startswith(f"{hpcsweep.__name__}."):
                found.add(f"{owner.__module__}.{owner.__qualname__}")
    return found


def _is_bad(symbol: dict[str, Any], public: set[str]) -> bool:
    parts = symbol["name"].split(".")
    names = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    is_known = symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]
    return bool(names & public) and not is_known


def _described(symbol: dict[str, Any]) -> str:
    reasons = [one["message"].replace("\n", " ") for one in symbol["diagnostics"]]
    return f"{symbol['name']}: {'; '.join(reasons) or 'refers to such a type'}"


if __name__ == "__main__":
    unknown = unknown_types()
    sys.stdout.write("".join(f"{line}\n" for line in unknown))
    sys.exit(bool(unknown))
