"""The families, one file for each skeleton. Adding a file here registers its families."""
