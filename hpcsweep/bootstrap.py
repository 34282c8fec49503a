"""Run a program of hpcsweep in an interpreter that does not have it.

    PYTHON …/hpcsweep/bootstrap.py MODULE ARGUMENT…

Makes this package importable, and nothing that lies beside it: the site-packages around hpcsweep
hold libraries for another interpreter. A process that `multiprocessing` spawns imports this file
again, and then has the package, too.
"""

import sys

# The directories of this package and around it; without `os`, which a user's file may shadow.
_PACKAGE = __file__.rpartition("/")[0]
_PARENT = _PACKAGE.rpartition("/")[0]

# Python puts the directory of a program first, where our modules would shadow those of others.
if sys.path and sys.path[0] == _PACKAGE:
    del sys.path[0]

from importlib.machinery import PathFinder  # noqa: E402  # not from the directory of this file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class PackageFinder:
    """Finds this package, and no other module, before any copy of it on the path."""

    def find_spec(
        self, name: str, _path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The package for the name `hpcsweep`; None for all others."""
        if name != "hpcsweep":
            return None
        return PathFinder.find_spec(name, [_PARENT], target)


if __name__ in {"__main__", "__mp_main__"}:
    sys.meta_path.insert(0, PackageFinder())

if __name__ == "__main__":
    from hpcsweep import program

    sys.exit(program.run(sys.argv[1], sys.argv[2:]))
