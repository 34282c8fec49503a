"""No password comes through `redact`, and what is no password does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.redact import HIDDEN, redact

CANARY = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:hunter2@db/x", "postgresql://me:***@db/x"),
        ("postgresql+psycopg://:hunter2@/x", "postgresql+psycopg://:***@/x"),
        (
            "at postgresql://me:a@b:hunter2/x@db:5432/x, line 3",
            "at postgresql://me:***@db:5432/x, line 3",
        ),
        (
            "postgresql://me@db/x?sslmode=on&password=hunter2&a=b",
            "postgresql://me@db/x?sslmode=on&password=***&a=b",
        ),
        ("postgresql:///x?passwd=hunter2", "postgresql:///x?passwd=***"),
        ("?sslpassword=hunter2 ", "?sslpassword=*** "),
        ("host=db password=hunter2 user=me", "host=db password=*** user=me"),
        ("host=db password = 'hun\\'ter2 hunter2' user=me", "host=db password = *** user=me"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ("{'password': 'hunter2', 'port': 1}", "{'password': ***, 'port': 1}"),
        ('{"password": "hunter2"}', '{"password": ***}'),
        ('+API_KEY = "hunter2"', "+API_KEY = ***"),
        ("AWS_SECRET_ACCESS_KEY=hunter2 sbatch", "AWS_SECRET_ACCESS_KEY=*** sbatch"),
        ("{'client_secret': 'hunter2'}", "{'client_secret': ***}"),
        ("export GITHUB_TOKEN=hunter2", "export GITHUB_TOKEN=***"),
    ],
)
def test_passwords_are_hidden(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@db:5432/x?sslmode=on",
        "postgresql:///?service=sweeps",
        "https://example.org:8080/path",
        'FATAL: password authentication failed for user "me"',
        "token=0123 of a task, eos_token = '</s>', key = 3, secrets = [1]",
        "check .pgpass (mode 0600), PGPASSFILE=/home/me/pgpass",
        "",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redact(text) == text


words = st.text(st.characters(blacklist_categories=("Z", "C")), max_size=10)


@given(before=words, secret=words.map(lambda word: f"{CANARY}{word}"), after=words)
def test_passwords_are_hidden_in_any_text(before: str, secret: str, after: str) -> None:
    for text in (
        f"{before} postgresql://me:{secret}@{after}",
        f"{before}://me:{secret}@{after}",
        f"{before} password='{secret.replace(chr(92), '').replace(chr(39), '')}' {after}",
    ):
        found = redact(text)
        assert CANARY not in found.replace(after, "")
        assert HIDDEN in found
