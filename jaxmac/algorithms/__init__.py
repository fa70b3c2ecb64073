"""Algorithms, each a file of pure functions that is registered by one line; presets are in the folder `presets`."""

from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any

from jaxmac.algorithms import (
    actor_critic,
    actor_critic_config,
    avf,
    mac_ppo,
    mac_ppo_config,
    mac_q,
    mac_q_config,
    tomacvf,
)
from jaxmac.algorithms.base import Algorithm, Collection, CommonConfig, Progress
from jaxmac.algorithms.presets import actor_critic as actor_critic_presets
from jaxmac.algorithms.presets import avf as avf_presets
from jaxmac.algorithms.presets import mac_ppo as mac_ppo_presets
from jaxmac.algorithms.presets import mac_q as mac_q_presets
from jaxmac.algorithms.presets import tomacvf as tomacvf_presets
from jaxmac.algorithms.registry import (
    ALGORITHMS,
    AlgorithmSpec,
    MixerFamily,
    configure,
    list_algorithms,
    make_algorithm,
    register_algorithm,
)
from jaxmac.mixers import MIXERS

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "AlgorithmSpec",
    "Collection",
    "CommonConfig",
    "MixerFamily",
    "Progress",
    "configure",
    "list_algorithms",
    "make_algorithm",
    "register_algorithm",
]


# What each baseline learns from; docs/algorithms.md says more.
SUMMARIES = {
    "mac-dec-q": "MacDec-Q: each agent's own rows, its own Q-network",
    "mac-cen-q": "MacCen-Q: joint rows, one centralised Q-network that also acts",
    "mac-dec-ddrqn": "MacDec-DDRQN: own and joint rows, a centralised network chooses the target's macro-actions",
    "parallel-mac-dec-ddrqn": "Parallel-MacDec-DDRQN: as MacDec-DDRQN, each network with its own episodes",
    "mac-iac": "Mac-IAC: own rows, an actor and a critic for each agent",
    "mac-cac": "Mac-CAC: joint rows, one joint actor and critic",
    "mac-niacc": "Mac-NIACC: own rows, one centralised critic on joint rows",
    "mac-iaicc": "Mac-IAICC: own rows, a centralised critic for each agent",
    "mac-ippo": "Mac-IPPO: own rows, recurrent PPO with a critic on each agent's own history",
    "mac-mappo": "Mac-MAPPO: own rows, recurrent PPO with a critic of the joint macro-state",
}


def _with_mixer(
    module: ModuleType, config: type, presets: ModuleType, learns_from: str, mixer: str
) -> AlgorithmSpec:
    """The algorithm of a mixer family (AVF or ToMacVF) with the mixer `mixer`."""
    named = {"tuned": presets.tuned, "paper": presets.paper}
    return AlgorithmSpec(
        config,
        partial(module.make, mixer_name=mixer),
        {name: partial(preset, mixer_name=mixer) for name, preset in named.items()},
        {f"mixer {mixer}": MIXERS[mixer].module},
        f"{learns_from}, mixer {mixer}",
    )


def _register_baselines(makes: Mapping[str, Any], presets: ModuleType, configs: Mapping[str, type]) -> None:
    """Register baselines; the papers ran them with the reference program's settings, so `paper` is `reference`."""
    named = {"tuned": presets.tuned, "reference": presets.reference, "paper": presets.reference}
    for kind, config in configs.items():
        of_kind = {name: partial(preset, kind=kind) for name, preset in named.items()}
        ALGORITHMS.register(kind, AlgorithmSpec(config, makes[kind], of_kind, {}, SUMMARIES[kind]), __name__)


avf_spec = partial(_with_mixer, avf, avf.AVFConfig, avf_presets, "AVF: value factorization on joint rows")
tomacvf_spec = partial(
    _with_mixer,
    tomacvf,
    tomacvf.ToMacVFConfig,
    tomacvf_presets,
    "ToMacVF: value factorization on every primitive step",
)
ALGORITHMS.register_family("avf", MixerFamily(avf_spec, lambda mixer: True))
# ToMacVF's attention conditions the mixer through its state, so a mixer that reads none (VDN) is left out.
ALGORITHMS.register_family("tomacvf", MixerFamily(tomacvf_spec, lambda mixer: mixer.reads_state))
_makes = {kind: partial(mac_q.make, roles=roles) for kind, roles in mac_q_config.NETWORK_ROLES.items()}
_register_baselines(_makes, mac_q_presets, mac_q_config.CONFIGS)
_makes = {kind: partial(actor_critic.make, roles=roles) for kind, roles in actor_critic_config.ROLES.items()}
_register_baselines(_makes, actor_critic_presets, actor_critic_config.CONFIGS)
for _kind, _config in mac_ppo_config.CONFIGS.items():  # no paper has run them on macro-actions: `tuned` only
    _presets = {"tuned": partial(mac_ppo_presets.tuned, kind=_kind)}
    _spec = AlgorithmSpec(
        _config, partial(mac_ppo.make, roles=mac_ppo_config.ROLES[_kind]), _presets, {}, SUMMARIES[_kind]
    )
    ALGORITHMS.register(_kind, _spec, __name__)
