"""The files of cases, in every layout: find, list, show and unpack them.

Reads what `logbook` wrote, at the locations in the index's rows. Decides nothing about cases.
"""
