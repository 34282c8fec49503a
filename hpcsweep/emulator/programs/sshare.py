"""sshare: the shares of accounts and users; usage is 0, like with priority/basic."""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep.emulator import config, identity
from hpcsweep.emulator.programs import options, tabular

TABLE = options.table(
    "all,a accounts,A: helpformat,e long,l partition,m !cluster,M: !clusters,M: noheader,n "
    "noheader,h format,o: parsable,p parsable2,P users,u: Users,U verbose,v version,V help usage "
    "!json !yaml"
)
_FIELDS = {
    "account": ("Account", -20),
    "user": ("User", 10),
    "rawshares": ("RawShares", 10),
    "normshares": ("NormShares", 11),
    "rawusage": ("RawUsage", 11),
    "normusage": ("NormUsage", 11),
    "effectvusage": ("EffectvUsage", 13),
    "fairshare": ("FairShare", 10),
    "levelfs": ("LevelFS", 10),
    "grptresmins": ("GrpTRESMins", 30),
    "tresrunmins": ("TRESRunMins", 30),
    "partition": ("Partition", 12),
}
_DEFAULT = "account,user,rawshares,normshares,rawusage,effectvusage,fairshare"
_LONG = (
    "account,user,rawshares,normshares,rawusage,normusage,effectvusage,fairshare,levelfs,"
    "grptresmins,tresrunmins"
)


def main(state_dir: Path, argv: list[str]) -> int:
    """Print the shares."""
    pairs, _ = options.Getopt("sshare", TABLE).read(argv)
    given = dict(pairs)
    if options.print_information("sshare", "", TABLE, given):
        return 0
    if "helpformat" in given:
        print("\n".join(name for name, _ in _FIELDS.values()))
        return 0
    columns = []
    for word in given.get("format", _LONG if "long" in given else _DEFAULT).split(","):
        name, _, width = word.partition("%")
        if name.lower() not in _FIELDS:
            options.to_stderr(f'Invalid field requested: "{name}"')
            return 1
        heading, usual = _FIELDS[name.lower()]
        columns.append((name.lower(), heading, int(width) if width else usual))
    heads = [(heading, width) for _, heading, width in columns]
    table = [[row.get(key, "") for key, _, _ in columns] for row in _rows(state_dir, given)]
    tabular.show(heads, table, given)
    return 0


def _rows(state_dir: Path, given: dict[str, str]) -> list[dict[str, str]]:
    settings, me = config.load(state_dir), identity.user_name(os.getuid())
    accounts = list(settings.accounts) or [settings.account] * bool(settings.account)
    if given.get("accounts"):
        accounts = [name for name in accounts if name in given["accounts"].split(",")]
    rows: list[dict[str, str]] = []
    for name in accounts:
        usage = {"rawusage": "0", "effectvusage": "0.000000"}
        if "Users" not in given:
            rows.append(usage | {"account": name})
        # An account's users are indented below it.
        indent = "" if "Users" in given else " "
        user = {"account": indent + name, "user": me, "rawshares": "1", "fairshare": "0.000000"}
        if given.get("users", me) == me:
            rows.append(usage | user)
    return rows
