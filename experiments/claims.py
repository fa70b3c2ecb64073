"""Three claims of the papers that a small experiment refutes: how often, over random instances.

    python -m experiments.claims

Results: experiments/results/claims/summary.{json,md}, which docs/reproduction.md quotes. What jaxmac does instead:
docs/specifications/avf.md, section 9, and docs/specifications/tomacvf.md, section 9.
"""

from __future__ import annotations

import json
import platform
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jaxmac
from experiments.common import RESULTS
from jaxmac.mixers.base import MixerInputs
from jaxmac.mixers.qmix import QMIX
from jaxmac.mixers.qplex import QPLEX
from jaxmac.mixers.testing import igm_gaps, random_instances
from jaxmac.networks.choice import is_action
from jaxmac.networks.layers import symmetric_uniform

FOLDER = RESULTS / "claims"
INSTANCES, AGENTS = 400, 3
TOLERANCE = 1e-10  # of a gap, relative to the best joint value, in float64


class RawDuelingQPLEX(nn.Module):
    """QPLEX whose V_i is any number, as a freely learned dueling head may give it, and not the maximum of Q_i."""

    @nn.compact
    def __call__(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """Joint value; V_i is a function of the agent's history alone."""
        value = nn.Dense(1, name="value")(inputs.hidden)[..., 0]
        return QPLEX(name="qplex")(inputs._replace(value=value))


class ChoiceReadingQMIX(nn.Module):
    """QMIX whose weights are also functions of the joint macro-action that is being maximised."""

    @nn.compact
    def __call__(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """Joint value; the mixer state is the state beside the joint macro-action, one-hot."""
        chosen = is_action(inputs.chosen, inputs.q_all.shape[-1])
        flat = chosen.reshape(*chosen.shape[:-2], -1).astype(inputs.mixer_state.dtype)
        state = jnp.concatenate([inputs.mixer_state, flat], axis=-1)
        return QMIX(name="qmix")(inputs._replace(mixer_state=state))


MIXERS: dict[str, tuple[nn.Module, bool]] = {
    "QPLEX, V over the feasible set": (QPLEX(), True),
    "QPLEX, V over all available macro-actions": (QPLEX(v_over_feasible=False), True),
    "QPLEX, V over all available macro-actions, every agent choosing": (QPLEX(v_over_feasible=False), False),
    "QPLEX, V of a raw dueling head": (RawDuelingQPLEX(), True),
    "QMIX": (QMIX(), True),
    "QMIX, weights that read the joint macro-action": (ChoiceReadingQMIX(), True),
}
"""Mixers by label, and whether only some of the agents choose."""


def violations(mixer: nn.Module, conditional: bool) -> int:
    """In how many random instances another joint macro-action is better than the agents' own greedy ones."""
    gaps = igm_gaps(mixer, random_instances(mixer, AGENTS, conditional, INSTANCES))
    return int((gaps > TOLERANCE).sum())


def attention(x: Float[Array, "tokens width"], weights: Float[Array, "3 width width"], product: bool) -> Array:
    """Self-attention under a causal mask, which multiplies the logits (ToMacVF, equation 9) or excludes tokens."""
    query, key, value = (x @ weight for weight in weights)
    logits = query @ key.T / jnp.sqrt(x.shape[-1])
    mask = jnp.tril(jnp.ones(logits.shape, bool))
    return jax.nn.softmax(jnp.where(mask, logits, 0.0 if product else -1e9), axis=-1) @ value


def leak(product: bool, tokens: int = 6, width: int = 8, changed: int = 4) -> float:
    """Largest change of the tokens before `changed` as the later ones are redrawn, median over instances."""

    def change(key: Array) -> Array:
        first, second, third = jax.random.split(key, 3)
        x = jax.random.normal(first, (tokens, width))
        weights = symmetric_uniform(width**-0.5)(second, (3, width, width))
        later = x.at[changed:].set(jax.random.normal(third, (tokens - changed, width)))
        difference = attention(x, weights, product) - attention(later, weights, product)
        return jnp.abs(difference[:changed]).max()

    return float(np.median(jax.vmap(change)(jax.random.split(jax.random.key(0), INSTANCES))))


def main() -> None:
    """Count and measure, then write the summary."""
    content: dict[str, Any] = {
        "instances": INSTANCES,
        "agents": AGENTS,
        "violations": {label: violations(*mixer) for label, mixer in MIXERS.items()},
        "leak": {"the mask multiplies the logits": leak(True), "hidden logits are -1e9": leak(False)},
        "versions": {"jaxmac": jaxmac.__version__, "jax": jax.__version__, "python": platform.python_version()},
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "summary.json").write_text(json.dumps(content, indent=2) + "\n")
    (FOLDER / "summary.md").write_text(table(content))


def table(content: dict[str, Any]) -> str:
    """The summary as Markdown."""
    count = content["instances"]
    lines = [
        "# Claims that a small experiment refutes",
        "",
        "Command: `python -m experiments.claims`",
        "",
        f"{count} random instances with {content['agents']} agents, each with one to four macro-actions, some of "
        "them running, and parameters three times their initial range (`jaxmac.mixers.testing`). A violation is a "
        "joint macro-action of the choosing agents, found by enumeration in float64, whose value is above that of "
        "the agents' own greedy macro-actions.",
        "",
        "| mixer | violations of (conditional) individual global max |",
        "|---|---|",
        *(f"| {label} | {found} of {count} |" for label, found in content["violations"].items()),
        "",
        "| causal attention over 6 tokens | change of the first four as the last two are redrawn, median |",
        "|---|---|",
        *(f"| {label} | {change:.2g} |" for label, change in content["leak"].items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
