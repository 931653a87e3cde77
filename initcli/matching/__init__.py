"""Matching: the initializer that stored values look like."""
