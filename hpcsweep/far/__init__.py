"""Another host, by the user's own OpenSSH and rsync: `hpcsweep --on HOST`, and `copy HOST:`.

`ssh` holds one connection, `project_files` says what is sent, `commands` runs a command there.
"""
