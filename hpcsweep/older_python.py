"""What tasks need and an older Python lacks: they run in the interpreter of the user's environment.

hpcsweep itself needs a newer one, where this is the library's own.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING or sys.version_info >= (3, 10):
    from dataclasses import dataclass
else:
    import dataclasses
    from functools import partial

    def dataclass(cls=None, *, kw_only=False, slots=False, **options):  # noqa: ARG001
        """`dataclasses.dataclass` for Python 3.9, which has neither `kw_only` nor `slots`."""
        if cls is None:
            return partial(dataclass, kw_only=kw_only, **options)
        made = dataclasses.dataclass(cls, init=not kw_only, **options)
        if kw_only:
            made.__init__ = _init
        return made

    def _init(self, **values):
        """Set the fields, by keywords only."""
        for field in dataclasses.fields(self):
            if field.name in values:
                value = values.pop(field.name)
            elif field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            elif field.default is not dataclasses.MISSING:
                value = field.default
            else:
                raise TypeError(f"{type(self).__name__} needs {field.name}")
            object.__setattr__(self, field.name, value)
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")


__all__ = ["dataclass"]
