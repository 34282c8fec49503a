"""Prints what hpcsweep needs, one requirement a line, without hpcsweep itself.

python3 dependencies.py pyproject.toml [EXTRA …]
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
extras = [project["optional-dependencies"][name] for name in sys.argv[2:]]
for requirement in sum(extras, project["dependencies"]):
    print(requirement)
