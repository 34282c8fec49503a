"""Print texts, counts, plans and tables for people, in the width of the terminal."""
