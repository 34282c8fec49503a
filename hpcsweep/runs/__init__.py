"""The files of a case: found in every layout, listed, shown and unpacked.

Reads what `logbook` wrote, by what the store says of each row; it decides nothing about cases.
"""
