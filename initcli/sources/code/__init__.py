"""Models built by a user's code, in the framework that the code imports."""
