"""The cache: results by their parameters, each made once.

`Store` works over the user's own table. Below it, `files` keeps the results as files and uses the
standard library only, for tasks. This package loads its public names on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped, mapped_column

    from hpcsweep.cache.bulk_runs import expand_grid
    from hpcsweep.cache.models import Base
    from hpcsweep.cache.store import Store

__all__ = ["Base", "Mapped", "Store", "expand_grid", "mapped_column"]

_HOMES = {
    "Base": "hpcsweep.cache.models",
    "Mapped": "sqlalchemy.orm",
    "Store": "hpcsweep.cache.store",
    "expand_grid": "hpcsweep.cache.bulk_runs",
    "mapped_column": "sqlalchemy.orm",
}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415  # rarely needed

        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
