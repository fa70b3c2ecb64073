"""Hand-written options: macro-actions over any environment of the contract."""

from jaxmac.envs.options.option import Option, View
from jaxmac.envs.options.with_options import WithOptions

__all__ = ["Option", "View", "WithOptions"]
