"""Reports: what each command says, as one record that tables, JSON, rows and pages are made of."""

REPORTS = ("summary", "identify", "diff", "signal", "compare", "width", "check", "catalog")
"""The commands that report; the module of each has the record of its JSON."""
