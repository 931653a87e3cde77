"""What the initialisation does to the signal: forwards, backwards, measured and predicted."""
