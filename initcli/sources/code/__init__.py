"""Models built by a person's own code, in the framework that the code imports."""
