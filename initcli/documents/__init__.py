"""Texts of specs: YAML and JSON with positions, and edits that keep the layout."""
