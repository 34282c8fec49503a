"""Prints what hpcsweep needs, one requirement a line, without hpcsweep itself.

python3 dependencies.py pyproject.toml [EXTRA|GROUP …]
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

pyproject = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
project = pyproject["project"]
groups = pyproject["dependency-groups"]


def requirements(name: str) -> Iterator[str]:
    """What an extra or a group asks for, with the groups that it includes."""
    for one in (project["optional-dependencies"] | groups)[name]:
        if isinstance(one, str):
            yield one
        else:
            yield from requirements(one["include-group"])


for requirement in project["dependencies"]:
    print(requirement)
for extra_or_group in sys.argv[2:]:
    for requirement in requirements(extra_or_group):
        print(requirement)
