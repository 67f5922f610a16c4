"""One thing of every kind that pyro_rationale finds by name, one module each."""
