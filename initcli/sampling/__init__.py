"""Values of parameters, drawn chunk by chunk, here or by workers."""
