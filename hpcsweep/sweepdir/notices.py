"""The events of which a user was notified: an empty file for each, `notices/<event>`.

It is made before the message is sent, so that one of any number of processes sends it. It is empty
because a full disk is one of the events.
"""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep.files import make_directory, open_file, remove_files, unwritable

NOTICES = "notices"


def claim(sweep: Path, event: str) -> bool:
    """Whether this process is to send the message of an event. *Raises* SweepError. *Writes* it."""
    path = make_directory(sweep / NOTICES) / event
    try:
        os.close(open_file(path, os.O_WRONLY | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError as error:
        raise unwritable(path, error) from error
    return True


def forget(sweep: Path) -> None:
    """Let every event be told again: a user has submitted something. *Safe to repeat.*"""
    remove_files(sweep / NOTICES)
