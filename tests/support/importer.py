"""Imports one module for each line that it reads, each in a process that has loaded none of ours.

python -m tests.support.importer LIBRARY…    answers with a line of JSON: the traceback, or ""

Each process is a fork of this one, which has loaded third-party libraries alone. To start a fresh
interpreter for each module would cost 0.3 s more and find nothing more.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback


def import_in_fork(module: str) -> str:
    """Return the traceback of `import module` in a fork of this process, or ""."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        problem = ""
        try:
            importlib.import_module(module)
        except BaseException:
            problem = traceback.format_exc()
        os.write(writer, problem.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        problem = stream.read()
    os.wait()
    return problem


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    assert "hpcsweep" not in sys.modules, "a third-party library loads hpcsweep"
    gc.disable()  # a collection would copy the pages of all libraries into each fork
    for line in sys.stdin:
        sys.stdout.write(json.dumps(import_in_fork(line.strip())) + "\n")
        sys.stdout.flush()
