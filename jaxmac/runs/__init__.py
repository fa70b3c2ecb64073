"""A run on disk and in memory: its directory, members, checkpoints, result and where its metrics go."""
