"""Functions of a notebook as targets, and fixed arguments that are files."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpcsweep as hs
from hpcsweep.manifest.user import load_manifest
from hpcsweep.worker.fixed_files import load_fixed, with_values
from tests.support.manifests import GOOD, Write, mistakes, write
from tests.support.notebook import Notebook

__all__ = ["mistakes", "write"]  # fixtures are found by their names


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A notebook whose `__main__` is this process's."""
    made = Notebook()
    monkeypatch.setitem(sys.modules, "__main__", made.main)
    return made


def described(target: Callable[..., Any], root: Path, **keys: Any) -> hs.Sweep:
    return hs.Sweep("swing", hs.grid(x=[1, 2]), target=target, root=root, **keys)


def refusal(target: Callable[..., Any], root: Path) -> str:
    with pytest.raises(hs.InputError) as caught:
        described(target, root)
    return str(caught.value)


def cell_of(sweep: hs.Sweep, root: Path, name: str = "simulate") -> dict[str, Any]:
    """The module that is written for a function when the sweep is planned, imported."""
    before = list(sys.path)
    sweep.plan(notify=None)
    try:
        return runpy.run_path(str(root / f".hpcsweep/swing/{name}_cell.py"))
    finally:
        sys.path[:] = before


def test_a_function_takes_along_what_it_uses_and_nothing_else(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.run(
        """
        import functools
        import os.path
        import xml
        import xml.etree.ElementTree
        import numpy as np
        from math import floor as down
        SCALE, ORDER = 3, [1, (2.5, "three"), {"four": None}]
        data = np.arange(3)
        """
    )
    notebook.run(
        """
        from __future__ import annotations

        class Base:
            power = SCALE

        class Model(Base):
            def energy(self, x: Unknown): return x ** self.power

        def doubled(function):
            @functools.wraps(function)
            def inner(**params): return {k: 2 * v for k, v in function(**params).items()}
            return inner

        also = doubled
        """
    )
    notebook.run(
        """
        @also
        def simulate(x, shift=SCALE):
            data = down(2.9)  # a name of its own
            tag = xml.etree.ElementTree.Element("a").tag
            return {"e": Model().energy(x) + shift + data + ORDER[1][0] + np.float64(len(tag))}
        """
    )
    sweep = described(notebook["simulate"], tmp_path)
    assert list(tmp_path.iterdir()) == []
    written = cell_of(sweep, tmp_path)
    assert written["simulate"](x=2) == {"e": 2 * (8 + 3 + 2 + 2.5 + 1)}
    assert "ORDER" in written
    assert "os" not in written


def test_a_changed_cell_replaces_its_module_and_git_ignores_it(
    notebook: Notebook, tmp_path: Path
) -> None:
    for value in (1, 2):
        notebook.run(f"def simulate(x): return {{'e': {value}}}")
        sweep = described(notebook["simulate"], tmp_path)
        assert sweep.validate().target == ".hpcsweep/swing/simulate_cell.py:simulate"
        assert cell_of(sweep, tmp_path)["simulate"](x=0) == {"e": value}
    assert (tmp_path / ".hpcsweep/.gitignore").read_text() == "*\n"


def test_functions_that_call_each_other_and_themselves(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run(
        """
        def even(x): return x == 0 or odd(x - 1)
        def odd(x): return x != 0 and even(x - 1)
        def simulate(x): return {"even": even(x)}
        """
    )
    sweep = described(notebook["simulate"], tmp_path)
    assert cell_of(sweep, tmp_path)["simulate"](x=3) == {"even": False}


def test_a_function_behind_a_cache_is_one_and_a_class_is_none(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.run(
        """
        import functools
        class Model: pass
        @functools.lru_cache
        def simulate(x): return {"e": x}
        """
    )
    assert cell_of(described(notebook["simulate"], tmp_path), tmp_path)["simulate"](x=3) == {"e": 3}
    assert "Model is a class, not a function" in refusal(notebook["Model"], tmp_path)
    assert "has no name that a task could import" in refusal(str.upper, tmp_path)


def test_what_cannot_travel_is_said_with_its_place(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run(
        """
        import os
        stream = open(os.devnull)
        class Model:
            def step(self, x): return {}
        def reads(x):
            return {"e": stream.read()}
        def outer():
            inner_stream = stream
            def simulate(x): return {"e": inner_stream.read()}
            return simulate
        """
    )
    where = notebook["reads"].__code__.co_filename
    try:
        said = refusal(notebook["reads"], tmp_path)
        assert said.startswith(f"{where}:6: it uses stream, a TextIOWrapper of the notebook")
        said = refusal(notebook["outer"](), tmp_path)
        assert f"{where}:10: simulate, which is defined inside another function" in said
        assert "it closes over inner_stream, a TextIOWrapper" in said
        said = refusal(notebook["Model"]().step, tmp_path)
        assert "Model.step is a method of one object, a Model" in said
    finally:
        notebook["stream"].close()
    assert f"{__file__}:" in refusal(lambda x: {"e": x}, tmp_path)
    exec("def simulate(x): return {}", vars(notebook.main))  # noqa: S102  # a prompt without source
    assert "the source of simulate is not known" in refusal(notebook["simulate"], tmp_path)
    assert not (tmp_path / "outputs").exists()


# --- fixed arguments -----------------------------------------------------------------------------


def manifest_of(write: Write, fixed: str) -> Path:
    return write(f"{GOOD}fixed: {fixed}\n")


def test_the_digest_of_a_file_is_part_of_a_case_and_its_path_is_not(
    write: Write, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes())
    np.save(tmp_path / "c.npy", np.arange(4))
    ids = [
        load_manifest(manifest_of(write, f"{{data: {name}.npy}}"))[1][0].case_id for name in "abc"
    ]
    assert ids[0] == ids[1] != ids[2]
    plain = load_manifest(write(GOOD))[1][0].case_id
    assert plain not in ids


def test_a_task_gets_the_values_and_refuses_a_changed_file(write: Write, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.arange(3), y=np.eye(2))
    (tmp_path / "names.json").write_text('{"a": [1, 2.5]}')
    manifest, source = load_manifest(manifest_of(write, "{data: data.npz, names: names.json}"))
    params = with_values(source[0].params, load_fixed(manifest))
    assert params["omega"] == 1.0
    assert params["names"] == {"a": [1, 2.5]}
    assert params["data"]["y"].tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="read-only"):
        params["data"]["x"][0] = 7
    (tmp_path / "names.json").write_text("[]")
    with pytest.raises(hs.SweepError, match=r"names.json: was changed since"):
        with_values(source[0].params, load_fixed(manifest))


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ("{data: data.pkl}", "fixed: has 'data.pkl' for data, which is none of .npy, .npz, .json"),
        ("{data: 3}", "fixed: has the number 3 for data, not the path of a file"),
        ("{2a: a.npy}", "fixed: has the text '2a', which is not the name of an argument"),
        ("{data: gone.npy}", "fixed.data: 'gone.npy' cannot be read: No such file or directory"),
        ("{omega: osc.json}", "fixed: the source has the parameter 'omega' already"),
        ("[a]", "fixed: is a list, not a mapping of arguments to files"),
    ],
)
def test_mistakes_of_fixed(
    mistakes: Callable[[str], list[str]], tmp_path: Path, fixed: str, expected: str
) -> None:
    (tmp_path / "osc.json").write_text("1")
    assert any(expected in mistake for mistake in mistakes(f"{GOOD}fixed: {fixed}\n"))


def test_no_pickle_is_loaded(write: Write, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    manifest, _ = load_manifest(manifest_of(write, "{data: a.npy}"))
    with pytest.raises(hs.InputError, match=r"a.npy: cannot be loaded: .*allow_pickle=False"):
        load_fixed(manifest)


def test_objects_of_python_become_files_named_by_their_content(tmp_path: Path) -> None:
    def fixing(**fixed: Any) -> hs.Sweep:
        return hs.Sweep("s", hs.grid(x=[1]), target="math:sqrt", root=tmp_path, fixed=fixed)

    def keys(**fixed: Any) -> dict[str, str]:
        return fixing(**fixed)._version.manifest.fixed  # noqa: SLF001

    several = {"a": np.arange(3), "b": np.eye(2)}
    sweep = fixing(one=np.arange(3), some=several, plain={"k": [1, 2.0]})
    first = keys(one=np.arange(3), some=several, plain={"k": [1, 2.0]})
    assert first == keys(one=np.arange(3), some=dict(several), plain={"k": [1, 2.0]})
    assert [Path(path).suffix for path in first.values()] == [".npy", ".npz", ".json"]
    assert list(tmp_path.iterdir()) == []
    sweep.plan(notify=None)
    assert np.load(tmp_path / first["some"])["b"].tolist() == [[1, 0], [0, 1]]
    assert json.loads((tmp_path / first["plain"]).read_text()) == {"k": [1, 2.0]}
    (tmp_path / "own.npy").write_bytes((tmp_path / first["one"]).read_bytes())
    assert keys(one="own.npy") == {"one": "own.npy"}
    with pytest.raises(hs.InputError, match=r"fixed.one: object has no file format"):
        keys(one=object())
    with pytest.raises(hs.InputError, match="cannot be written without pickle"):
        keys(one=np.array([{}], dtype=object))
