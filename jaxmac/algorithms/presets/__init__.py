"""Presets: the hyperparameters of each family of algorithms, per environment."""
