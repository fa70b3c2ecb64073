"""Mixers: from the utilities of all agents to one joint value, each a flax module in a file of its own.

`jaxmac.mixers.base` defines the inputs of a mixer; `check_mixer` tests the properties that a mixer must have.
"""

from jaxmac.mixers.base import MIXERS, MixerInputs, MixerSpec, make_mixer, register_mixer
from jaxmac.mixers.qmix import QMIX
from jaxmac.mixers.qplex import QPLEX
from jaxmac.mixers.qtran import QTRAN
from jaxmac.mixers.testing import MixerError, check_mixer
from jaxmac.mixers.vdn import VDN

__all__ = [
    "MIXERS",
    "QMIX",
    "QPLEX",
    "QTRAN",
    "VDN",
    "MixerError",
    "MixerInputs",
    "MixerSpec",
    "check_mixer",
    "make_mixer",
    "register_mixer",
]
