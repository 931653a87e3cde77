"""Random bits and what is made of them: streams, variates, the standard normal."""
