"""Mixers: from the utilities of all agents to one joint value.

Every mixer is a flax module called with arrays that share any leading axes (time, batch):

| argument | shape | meaning |
|---|---|---|
| q_all | [..., agents, actions] | utilities Q_i(h_i, .) |
| chosen | [..., agents] int | running macro-actions of all agents, new or ongoing |
| feasible | [..., agents, actions] bool | F_i: available ones if the agent chooses, else the running one |
| hidden | [..., agents, features] | recurrent state of the agents |
| mixer_state | [..., state] | what conditions the mixing, for example the joint macro-state |
| available | [..., agents, actions] bool, optional | availability, whoever chooses (QPLEX's literal form) |

and returns Q_tot `[...]`. The class attribute `factorised` says whether the greedy joint macro-action of
Q_tot is the tuple of the agents' own (IGM), in its conditional form where some agents do not choose. A mixer
that is not may have a method `auxiliary` of the arguments up to `mixer_state`: a loss `[...]` added to the error's.
"""

import dataclasses

import flax.linen as nn

from jaxmac.mixers.qmix import QMIX
from jaxmac.mixers.qplex import QPLEX
from jaxmac.mixers.qtran import QTRAN
from jaxmac.mixers.vdn import VDN

__all__ = ["MIXERS", "QMIX", "QPLEX", "QTRAN", "VDN", "make_mixer"]

MIXERS: dict[str, type[nn.Module]] = {"vdn": VDN, "qmix": QMIX, "qplex": QPLEX, "qtran": QTRAN}


def make_mixer(name: str, **options) -> nn.Module:
    """Build the mixer `name`; `options` are the fields of its class.

    Raises ValueError, in one line, for an unknown name or option, or a size below 1.
    """
    if name not in MIXERS:
        raise ValueError(f"unknown mixer {name!r}: known mixers are {', '.join(sorted(MIXERS))}")
    known = [f.name for f in dataclasses.fields(MIXERS[name]) if f.name not in ("parent", "name")]
    names = ", ".join(known) or "none"
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"unknown option {option!r} of mixer {name!r}: known: {names}")
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise ValueError(f"{option}={value} of mixer {name!r}: must be at least 1")
    return MIXERS[name](**options)
