"""What the initialization does to the signal: forwards, backwards, measured and predicted."""
