"""Trained policies as folders that run outside jaxmac."""

from jaxmac.export.folder import export_policy

__all__ = ["export_policy"]
