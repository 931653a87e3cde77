"""Reports: what a command says, as records."""
