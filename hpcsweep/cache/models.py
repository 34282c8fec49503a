"""`Base`: the columns of a result's record besides the parameters of its model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, MetaData, String, Table
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.orm import Mapped, mapped_column, registry
from sqlalchemy.types import TypeDecorator

from hpcsweep import ids
from hpcsweep.errors import InputError

# Columns that the cache fills; they cannot be parameters.
RESERVED = ("id", "result_file", "created_at", "custom_data")


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware datetime; SQLite stores it naive, in UTC."""

    impl = SqlDateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """PostgreSQL stores the time zone."""
        return dialect.type_descriptor(SqlDateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add UTC to a naive value."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Base:
    """The base class of models of results. Their other columns are the parameters.

    Examples:
        >>> from hpcsweep import Base, Mapped
        >>> class Example(Base):
        ...     __tablename__ = "example"
        ...     n: Mapped[int]
        >>> Example(n=1).n
        1
    """

    # The case id of the params: 16 hex digits.
    id: Mapped[str] = mapped_column(String(16), primary_key=True, sort_order=1000)
    # An absolute path; in the table it is relative to the results directory.
    result_file: Mapped[str] = mapped_column(sort_order=1001)
    # When the result was made; timezone-aware, UTC.
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, sort_order=1002)
    # The user's custom data; plain JSON.
    custom_data: Mapped[dict[str, Any]] = mapped_column(JSON, sort_order=1003)

    __tablename__: str
    __table__: Table

    if TYPE_CHECKING:  # the mapping defines it

        def __init__(self, **columns: Any) -> None: ...

    def __init_subclass__(cls, **options: Any) -> None:
        """Map the model in a registry of its own: a notebook's cell may run again."""
        super().__init_subclass__(**options)
        if cls.__dict__.get("__abstract__"):
            return
        if not isinstance(getattr(cls, "__tablename__", None), str):
            raise InputError(
                "the model has no table",
                where=cls.__qualname__,
                next_step='Write __tablename__ = "results" into the class.',
            )
        column_types: dict[Any, Any] = {
            # An INTEGER of PostgreSQL has 32 bits, too few for a seed; one of SQLite has 64.
            int: BigInteger().with_variant(Integer(), "sqlite"),
            datetime: UtcDateTime,
            **dict.fromkeys((dict, dict[str, Any], list), JSON),
        }
        try:
            registry(metadata=MetaData(), type_annotation_map=column_types).mapped(cls)
        except (ArgumentError, InvalidRequestError, NameError) as error:
            raise InputError(
                f"the model cannot be mapped to a table: {error}",
                where=cls.__qualname__,
                next_step="Write each parameter as `name: Mapped[type]`.",
            ) from error

    def apply_patch(self, patch: Mapping[str, Any]) -> None:
        """Set attributes of this object; None leaves one unchanged.

        `custom_data` is merged by `patched`. Nothing is stored: use `Store.patch`.

        Examples:
            >>> record = store.run_or_retrieve({"x": 9})
            >>> record.apply_patch({"custom_data": {"checked": True}})
            >>> record.custom_data["checked"]
            True
        """
        for name, value in patch.items():
            if name == "custom_data":
                self.custom_data = patched(self.custom_data, value)
            elif value is not None:
                setattr(self, name, value)

    def __repr__(self) -> str:
        columns = self.__table__.columns.keys()
        shown = (f"{name}={getattr(self, name)!r}" for name in columns if name not in RESERVED[1:])
        return f"{type(self).__name__}({', '.join(shown)})"


def patched(values: Mapping[str, Any], patch: Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge custom data: an empty patch clears it, a None value removes its key."""
    if not patch:
        return dict(values) if patch is None else {}
    merged = dict(values) | ids.plain(patch, "custom_data")
    return {name: value for name, value in merged.items() if value is not None}
