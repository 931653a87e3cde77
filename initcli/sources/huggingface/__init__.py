"""Models from a Hugging Face ``config.json``: every tensor, without transformers."""
