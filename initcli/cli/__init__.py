"""The commands, by what they are about: options are parsed, functions called, pages rendered."""
