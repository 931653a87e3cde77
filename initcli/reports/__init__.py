"""Reports: the output of each command as one record, for tables, JSON, rows and pages."""

REPORTS = ("summary", "identify", "diff", "signal", "compare", "width", "check", "catalog")
"""The commands with a report; the module of each has the record of its JSON."""
