"""Imports every module of a package as if it were the first one, and prints what goes wrong.

python -m tests.support.importer ROOT PACKAGE LIBRARY…

prints a line of JSON for each: its name, and the traceback or "". A module is imported in a fork of
the process that imported first the largest one of those that the module loads and that do not load
the module. What is in that process the module loads anyway. So the fork finds what a fresh
interpreter finds: a name that only another module would have loaded, and a circle of imports (at
one of its modules, not at all that are above it). To import everything again for each module
took twice as long.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path

Tree = dict[str, list[str]]


def top_imports(root: Path, package: str) -> dict[str, set[str]]:
    """For each module of a package what of the package its file imports at its top."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (root / package).rglob("*.py")
    }
    return {module: _imports(path, files) for module, path in files.items()}


def _imports(path: Path, modules: Collection[str]) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return names.intersection(modules)


def forks(imports: Mapping[str, Collection[str]]) -> Tree:
    """For each module those that are imported in a fork of its process; "" is a fresh one."""
    loaded = {module: _loaded(module, imports) for module in imports}
    tree: Tree = {}
    for module in sorted(imports):
        bases = [one for one in loaded[module] if module not in loaded[one]]
        base = max(sorted(bases), key=lambda one: len(loaded[one]), default="")
        tree.setdefault(base, []).append(module)
    return tree


def _loaded(module: str, imports: Mapping[str, Collection[str]]) -> set[str]:
    """What an import of the module loads, itself included."""
    loaded, waiting = set(), [module]
    while waiting:
        one = waiting.pop()
        if one in imports and one not in loaded:
            loaded.add(one)
            waiting += [*imports[one], one.rpartition(".")[0]]
    return loaded


def import_each(modules: Collection[str], tree: Tree) -> None:
    """Import each module in a fork of this process, and those of its branch in forks of that.

    A module without a line imports one that failed.
    """
    for module in modules:
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        problem = ""
        try:
            assert module not in sys.modules, f"{module} was loaded before"
            importlib.import_module(module)
        except BaseException:
            problem = traceback.format_exc()
        print(json.dumps([module, problem]), flush=True)
        if not problem:
            import_each(tree.get(module, ()), tree)
        os._exit(0)


if __name__ == "__main__":
    root, package, *libraries = sys.argv[1:]
    sys.path.insert(0, root)
    branches = forks(top_imports(Path(root), package))
    for library in libraries:
        importlib.import_module(library)
    assert package not in sys.modules, "a library loads the package"
    gc.disable()  # a collection would copy the pages of this process into each fork
    import_each(branches[""], branches)
