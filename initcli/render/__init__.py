"""Rendering of reports: tables, data and pictures."""
