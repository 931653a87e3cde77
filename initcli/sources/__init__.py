"""From text to model: reading, checking and resolving a spec."""
