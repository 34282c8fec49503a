"""How the blocks of a page are compared with what its commands print: every number counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.console_blocks import Page, looks_like

TABLE = ["index  energy  wall_seconds", "    0     1.5      0.303363"]
VERTICAL = ["cpu_seconds  0.5", "energy       0.5"]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["a …"], "a b c\n", True),
        (["a", "…", "c"], "a\nb\nb\nc\n", True),
        (["a", "c"], "a\nb\nc\n", False),
        (["a"], "a\nb\n", False),
        (["a  b"], "a b\n", False),
        (["name    age", "one   …"], "name   age\none   9 s\n", True),
        (["name    age", "…"], "name   age\none\n", False),
        (["x 1.5 y"], "x 1.5 y \n", True),
        (["x 1.5 y"], "x 1.51 y\n", False),
        (["x 1.5 y, …"], "x 1.51 y, z\n", False),
        (["took 1.5 s"], "took 1.6 s\n", False),
        (["omega: 2"], "omega: 3\n", False),
        # What is measured differs from run to run, as a number alone.
        (TABLE, "index  energy  wall_seconds\n    0     1.5         1e-05\n", True),
        (TABLE, "index  energy  wall_seconds\n    0    1.51      0.303363\n", False),
        (TABLE, "index  energy  wall_seconds\n    0     1.5          late\n", False),
        (TABLE, "index  energy  wall_seconds\n    0     1.5\n", False),
        (
            [*TABLE, "", "    0     1.5      0.3"],
            "\n".join([*TABLE, "    0     1.5      0.4"]),
            False,
        ),
        (VERTICAL, "cpu_seconds  2\nenergy       0.5\n", True),
        (VERTICAL, "cpu_seconds  2\nenergy       0.6\n", False),
    ],
)
def test_how_output_is_compared(shown: list[str], printed: str, *, same: bool) -> None:
    assert looks_like(shown, printed) is same


@pytest.mark.parametrize(("shown", "same"), [("0.1", False), ("0.5", True)])
def test_a_page_with_a_wrong_number_fails(shown: str, tmp_path: Path, *, same: bool) -> None:
    page = Page(
        '```text title="energy"\n0.5\n```\n\n'
        f"1. Print it:\n\n    ```console\n    $ cat energy\n    {shown}\n    ```\n"
    )
    if same:
        page.follow(tmp_path, os.environ)
    else:
        with pytest.raises(AssertionError, match=r"\$ cat energy"):
            page.follow(tmp_path, os.environ)
