"""`python -m hpcsweep` is the command line."""

from hpcsweep.cli import main

if __name__ == "__main__":
    main(prog_name="hpcsweep")
