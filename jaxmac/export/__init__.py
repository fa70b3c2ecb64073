"""Trained policies as folders that run outside jaxmac: `folder` writes them, `description` says what is in them.

`runner` is the file that is copied into a folder; it needs NumPy only. `memories` names the recurrent layers that
it implements, and those from outside that it does not.
"""

from jaxmac.export.folder import export_policy, write_policy
from jaxmac.export.loading import load_policy
from jaxmac.export.zoo import policy_by_name

__all__ = ["export_policy", "load_policy", "policy_by_name", "write_policy"]
