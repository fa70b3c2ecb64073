"""Trained policies as folders that run outside jaxmac: `folder` writes them, `description` says what is in them.

`runner` is the file that is copied into every folder; it needs NumPy only.
"""

from jaxmac.export.folder import export_policy, write_policy

__all__ = ["export_policy", "write_policy"]
