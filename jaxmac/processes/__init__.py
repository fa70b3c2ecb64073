"""Several processes that train one run: joining them, and what they do together."""
