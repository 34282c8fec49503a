"""Packages that are extras of hpcsweep: imported where they are used, which is rare or slow."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from hpcsweep.errors import ExtraMissing


def import_extra(package: str, extra: str, what: str) -> ModuleType:
    """The package, for `what`. *Raises* ExtraMissing, which names the extra that installs it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ExtraMissing(
            f"{what} needs {package}", next_step=f"Install it: pip install 'hpcsweep[{extra}]'"
        ) from error
