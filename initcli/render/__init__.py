"""From measurements to pages: tables, data and pictures."""
