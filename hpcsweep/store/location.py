"""The location of a database: a SQLite file, or a PostgreSQL database named by a URL.

A manifest gives it without a password: `sqlite`, a URL (a service file or password file holds the
rest), or the name of an environment variable that holds the URL.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from hpcsweep.errors import StoreError

SQLITE = "sqlite"
DRIVER = "postgresql+psycopg"
# Query parameters of a URL that hold secrets, by libpq's names.
SECRETS = ("password", "passwd", "sslpassword")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def locate_database(spec: str, sqlite: Path) -> Path | URL:
    """Resolve the `store:` of a manifest; `sqlite` is the path of the default SQLite file.

    *Raises* StoreError if the variable is not set, or holds no PostgreSQL URL.
    """
    if spec == SQLITE:
        return sqlite
    if not _VARIABLE.fullmatch(spec):
        return parse_url(spec, "store")
    text = os.environ.get(spec, "")
    if not text:
        raise StoreError(
            "the environment variable is not set; it must hold the URL of the database",
            where=spec,
            next_step="Set it here, and for the tasks in your login files or a line of `setup:`.",
        )
    return parse_url(text, spec)


def parse_url(text: str, where: str) -> URL:
    """The URL of a PostgreSQL database. *Raises* StoreError; its message omits the text."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    # An `@` in the host belongs to an unquoted password.
    if url is None or "@" in (url.host or ""):
        raise StoreError(
            "is not the URL of a database",
            where=where,
            next_step="Write postgresql://user@host:port/database or postgresql:///?service=NAME; "
            "in a user or password `@`, `:`, `/`, `?` and `%` are %40, %3A, %2F, %3F and %25.",
        )
    if url.drivername not in ("postgresql", DRIVER):
        raise StoreError(
            "names another kind of database",
            where=where,
            next_step=f"Write a URL that begins with postgresql:// or {DRIVER}://.",
        )
    return url.set(drivername=DRIVER)


def public_location(location: Path | URL) -> str:
    """The location for messages, without a password or its location."""
    if isinstance(location, Path):
        return str(location)
    public = location.set(drivername="postgresql").difference_update_query(SECRETS)
    # `URL.set` cannot remove the password.
    without = URL.create(
        public.drivername,
        public.username,
        None,
        public.host,
        public.port,
        public.database,
        public.query,
    )
    return without.render_as_string(hide_password=True)
