"""Prints what hpcsweep needs, one requirement a line, without hpcsweep itself.

python3 dependencies.py pyproject.toml [EXTRA|GROUP …]
"""

import sys
import tomllib
from pathlib import Path

pyproject = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
project = pyproject["project"]
named = project["optional-dependencies"] | pyproject["dependency-groups"]
for requirement in sum((named[name] for name in sys.argv[2:]), project["dependencies"]):
    print(requirement)
