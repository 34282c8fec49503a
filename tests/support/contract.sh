# What every command of a contract case finds: scripts in its directory, and a few short words.
unset BASH_ENV
if [ ! -e ok.sh ]; then
    printf '#!/bin/sh\ntrue\n' >ok.sh
    : >empty.sh
    printf '  \n\n' >blank.sh
    printf 'echo hello\n' >nobang.sh
    printf '#!/bin/sh\r\ntrue\r\n' >crlf.sh
    printf '#!/nonexistent/interp\ntrue\n' >badinterp.sh
fi
# A script of the given lines.
script() { printf '#!/bin/sh\n'; printf '%s\n' "$@"; }
# One line about each record of the queue, of the given fields.
q() { squeue -h -t all -j "$1" -o "$2" | sort; }
# The accounting's rows, of the given fields.
a() { sacct -nP -j "$1" -o "$2" | sort; }
# Some keys of `scontrol show job`.
c() { scontrol -o show job "$1" | tr ' ' '\n' | grep -E "^($2)="; }
