"""Random streams, variates, and the standard normal distribution."""
