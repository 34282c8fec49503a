"""The pictures of docs/how-to/report.md are those of a report as it is now."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.browser import browser
from tests.support.report_pictures import COMMAND, PICTURES, VIEWS, oscillator, take

# A picture has 100 times 100 blocks; one has changed if its grey, of 255, differs by more.
CHANGE_MIN = 8
# A heading has 36 blocks.
CHANGED_MAX = 10
# Rows and columns of blocks with times and memory, which differ from one report to the next.
MEASURED = {"overview.png": (slice(41, 49), slice(30, 100))}


def image(path: Path) -> Any:
    return import_module("PIL.Image").open(path)


def test_pictures_name_what_they_show() -> None:
    for name, (_, width, height) in VIEWS.items():
        shown = image(PICTURES / name)
        assert shown.size == (width, height)
        assert shown.text["Description"].endswith(f"; {COMMAND}")


@pytest.mark.soak
def test_pictures_look_like_the_report(tmp_path: Path) -> None:
    """Take them again by `python -m tests.support.report_pictures`."""
    with browser() as page:
        take(oscillator(tmp_path), page, tmp_path)
    for name in VIEWS:
        # Means of blocks, so that the edges of letters do not count.
        shown, taken = (
            np.asarray(image(place / name).convert("L").resize((100, 100)), dtype=float)
            for place in (PICTURES, tmp_path)
        )
        changed = np.abs(shown - taken) > CHANGE_MIN
        if name in MEASURED:
            changed[MEASURED[name]] = False
        assert changed.sum() <= CHANGED_MAX, name
