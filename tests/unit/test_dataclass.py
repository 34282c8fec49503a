"""`hpcsweep.dataclass` does what the library's `dataclass` does."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from hpcsweep.dataclass import dataclass

OPTIONS: tuple[dict[str, bool], ...] = (
    {},
    {"slots": True},
    {"kw_only": True},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "kw_only": True, "slots": True},
)


class Point:
    """A point."""

    kind: ClassVar[str] = "point"
    x: int
    y: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)
    secret: str = dataclasses.field(default="s", repr=False)
    note: str = dataclasses.field(default="", compare=False)
    made: dict[str, int] = dataclasses.field(default_factory=dict, init=False, compare=False)
    size: int = dataclasses.field(default=7, init=False)
    total: float = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x + self.y)


class Nothing:
    """No field."""


class Custom:  # noqa: PLW1641  # Python gives it None for `__hash__`
    """Methods of its own."""

    x: int

    def __repr__(self) -> str:
        return "custom"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)


class OwnHash:
    """A hash of its own."""

    x: int

    def __hash__(self) -> int:
        return 1


def both(body: type, **options: bool) -> tuple[Any, Any]:
    """The class by the library's decorator, and by ours."""
    return tuple(
        _decorated(decorate, body, options) for decorate in (dataclasses.dataclass, dataclass)
    )


def _decorated(decorate: Callable[..., Any], body: type, options: dict[str, bool]) -> Any:
    members = {
        name: value for name, value in vars(body).items() if name not in ("__dict__", "__weakref__")
    }
    return decorate(**options)(type(body.__name__, body.__bases__, members))


def outcome(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (TypeError, AttributeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_objects_behave_as_the_library_s(options: dict[str, bool]) -> None:
    def told(kind: Any) -> list[Any]:
        one, other, third = kind(x=1), kind(x=1, note="n"), kind(x=2, y=3.0, tags=["a"], secret="t")
        return [
            *map(repr, (one, other, third)),
            *(left == right for left in (one, third) for right in (one, other, third, 1)),
            outcome(lambda: hash(kind(x=1, tags=())) == hash(kind(x=1, tags=(), note="n"))),
            outcome(lambda: kind(1, 2).y),
            outcome(kind),
            outcome(lambda: kind(x=1, size=3)),
            outcome(lambda: setattr(one, "x", 2)),
            outcome(lambda: delattr(one, "y")),
            # With slots and frozen, the library's fails in `super`.
            "slots" in options or outcome(lambda: setattr(one, "unknown", 2)),
            dataclasses.asdict(dataclasses.replace(third, x=5)),
            dataclasses.astuple(copy.deepcopy(third)),
            kind(x=1).tags is not kind(x=1).tags,
            str(inspect.signature(kind)).replace(" -> None", ""),
            kind.__match_args__,
            getattr(kind, "__slots__", None),
            [(field.name, field.kw_only) for field in dataclasses.fields(kind)],
            (kind.kind, kind.__doc__, kind.__init__.__qualname__),
        ]

    library, ours = both(Point, **options)
    assert told(ours) == told(library)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("body", [Nothing, Custom, OwnHash])
def test_methods_of_the_class_stay(body: type, options: dict[str, bool]) -> None:
    def told(kind: Any) -> list[Any]:
        first, second = (kind(x=1) if body is not Nothing else kind() for _ in "12")
        return [
            repr(first),
            first == second,
            first == 1,
            outcome(lambda: hash(first) == hash(second)),
        ]

    library, ours = both(body, **options)
    assert told(ours) == told(library)


@pytest.mark.parametrize("options", OPTIONS[3:], ids=str)
def test_a_frozen_class_can_be_inherited_from(options: dict[str, bool]) -> None:
    def told(kind: Any, decorate: Callable[..., Any]) -> list[Any]:
        child = decorate(**options)(
            type("Child", (kind,), {"z": 3, "__annotations__": {"z": "int"}, "__doc__": ""})
        )
        plain = type("Plain", (kind,), {})(x=1)
        made = child(x=1, z=4)
        return [
            repr(made),
            made == child(x=1, z=4),
            made == kind(x=1),
            plain == type(plain)(x=1),
            outcome(lambda: setattr(made, "z", 2)),
            outcome(lambda: setattr(plain, "x", 2)),
            "slots" in options or outcome(lambda: setattr(plain, "other", 2)),
        ]

    library, ours = both(Point, **options)
    expected = told(library, dataclasses.dataclass)
    assert told(ours, dataclass) == expected
    # A user's class may inherit from ours with the library's decorator.
    assert told(ours, dataclasses.dataclass) == expected


@dataclass(frozen=True, kw_only=True, slots=True)
class Pickled:
    """At the top of a module, where pickle looks for it."""

    x: int
    parts: tuple[int, ...] = ()


def test_a_frozen_object_with_slots_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pickled(x=1, parts=(2,)))) == Pickled(x=1, parts=(2,))  # noqa: S301


def test_an_object_that_contains_itself_has_a_representation() -> None:
    _, ours = both(Point)
    one = ours(x=1)
    one.tags.append(one)
    assert repr(one) == "Point(x=1, y=0.5, tags=[...], note='', made={}, size=7)"


def test_one_method_of_a_class_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[tuple[Any, ...]] = []
    compile_text = exec

    def counted(*given: Any) -> None:
        texts.append(given)
        compile_text(*given)

    monkeypatch.setattr("builtins.exec", counted)
    _decorated(dataclass, Point, {"frozen": True, "kw_only": True, "slots": True})
    assert len(texts) == 1
