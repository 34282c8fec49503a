"""Names of users, groups and the machine; an id without a name stays a number."""

from __future__ import annotations

import grp
import os
import pwd


def user_name(uid: int) -> str:
    """The name of a user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def login_environment(uid: int) -> dict[str, str]:
    """The variables that a login sets before the shell reads its init files."""
    name = user_name(uid)
    try:
        entry = pwd.getpwuid(uid)
        home, shell = entry.pw_dir, entry.pw_shell
    except KeyError:
        home, shell = "/", ""
    return {"HOME": home, "LOGNAME": name, "SHELL": shell or "/bin/sh", "USER": name}


def host_name() -> str:
    """The machine's short name."""
    return os.uname().nodename.partition(".")[0]
