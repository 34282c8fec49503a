"""Lives of a cache, to be killed at each of their calls."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from hpcsweep import Base, Mapped, Store
from hpcsweep.errors import InputError

importlib.import_module("sqlalchemy.dialects.sqlite")


class Kept(Base):
    """A result."""

    __tablename__ = "kept"
    x: Mapped[int]


def run(params: dict[str, Any]) -> None:
    """Make a result."""
    Path(params["result_file"]).write_text(f"result of {params['x']}")


def store(base: Path) -> Store[Kept]:
    """The cache of a life."""
    return Store(run, Kept, base / "results", ".txt", f"sqlite:///{base}/kept.sqlite3")


def agree(base: Path, *, orphans: bool = False) -> list[int]:
    """Check that entries, rows and files agree; return the records.

    A result that was being made may lack its entry: the next caller makes it again.
    """
    cache = store(base)
    listed = {record.id: record for record in cache.list()}
    results = base / "results"
    entries = {path.stem for path in results.glob(".journal/??/*.json")}
    assert set(listed) == entries, "rows are not the entries"
    for record in listed.values():
        found = cache.retrieve({"x": record.x})
        assert found is not None
        assert found.custom_data == record.custom_data
        assert Path(record.result_file).read_text() == f"result of {record.x}"
    named = {Path(record.result_file).name for record in listed.values()}
    there = {path.name for path in results.iterdir() if path.is_file()}
    assert there == named or (orphans and there > named), f"orphans: {there - named}"
    assert list((results / ".new").iterdir()) == [], "marks stay"
    before = {id_: (one.x, one.custom_data, one.created_at) for id_, one in listed.items()}
    assert cache.rebuild() == len(before)
    again = {one.id: (one.x, one.custom_data, one.created_at) for one in cache.list()}
    assert again == before, "a rebuild says otherwise"
    return sorted(record.x for record in listed.values())


class _OfCache:
    def prepare(self, base: Path) -> None:
        cache = store(base)
        for x in (1, 2, 3):
            cache.run({"x": x}, note="first")

    def check(self, base: Path) -> None:
        self.look(base)

    def look(self, base: Path) -> None:
        raise NotImplementedError


class Deleted(_OfCache):
    """A record with its file is deleted: all of it or nothing."""

    def live(self, base: Path) -> None:
        store(base).delete({"x": 2}, remove_file=True)

    def look(self, base: Path) -> None:
        assert agree(base) in ([1, 2, 3], [1, 3])

    def check(self, base: Path) -> None:
        assert agree(base) == [1, 3]


class Forgotten(_OfCache):
    """A record is deleted by its id, and its file stays; then it is made again."""

    def live(self, base: Path) -> None:
        cache = store(base)
        cache.delete({"x": 2})
        cache.run_or_retrieve({"x": 2}, note="again")

    def look(self, base: Path) -> None:
        assert {record.x for record in store(base).list()} >= {1, 3}

    def check(self, base: Path) -> None:
        assert agree(base) == [1, 2, 3]


class Made(_OfCache):
    """One record is made, one made again, and one patched."""

    def live(self, base: Path) -> None:
        cache = store(base)
        cache.run_or_retrieve({"x": 4}, note="new")
        cache.run({"x": 1}, note="anew")
        cache.patch({"x": 2}, more="beside")

    def look(self, base: Path) -> None:
        assert agree(base, orphans=True) in ([1, 2, 3], [1, 2, 3, 4])

    def check(self, base: Path) -> None:
        assert agree(base) == [1, 2, 3, 4]
        notes = {record.x: record.custom_data for record in store(base).list()}
        assert (notes[1]["note"], notes[2]["more"], notes[4]["note"]) == ("anew", "beside", "new")


class Registered(_OfCache):
    """A result of elsewhere is taken over, then replaced by a run: its file in the cache goes."""

    def live(self, base: Path) -> None:
        cache = store(base)
        name = base / "results" / "brought.txt"
        if not (found := cache.retrieve({"x": 5})):
            name.write_text("result of 5")
            cache.register({"x": 5}, name)
        elif Path(found.result_file) != name:
            return
        cache.run({"x": 5})

    def look(self, base: Path) -> None:
        there = {record.x for record in store(base).list()}
        assert there in ({1, 2, 3}, {1, 2, 3, 5})

    def check(self, base: Path) -> None:
        assert agree(base) == [1, 2, 3, 5]
        assert not (base / "results" / "brought.txt").exists()


class Swept(_OfCache):
    """A sweep makes what is missing."""

    def live(self, base: Path) -> None:
        store(base).sweep({"x": [3, 4, 5]})

    def look(self, base: Path) -> None:
        assert set(agree(base, orphans=True)) >= {1, 2, 3}

    def check(self, base: Path) -> None:
        assert agree(base) == [1, 2, 3, 4, 5]


class Rebuilt(_OfCache):
    """The table is made anew."""

    def live(self, base: Path) -> None:
        (base / "kept.sqlite3").unlink(missing_ok=True)
        store(base).rebuild()

    def look(self, base: Path) -> None:
        try:
            there = [record.x for record in store(base).list()]
        except InputError:
            return
        assert there in ([], [1, 2, 3])

    def check(self, base: Path) -> None:
        assert agree(base) == [1, 2, 3]
