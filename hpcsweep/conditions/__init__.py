"""Conditions over named values: one language for tables of results and for sources."""
