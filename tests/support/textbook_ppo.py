"""PPO on primitive actions as textbooks have it: every agent decides at every step until the episode ends.

Written from the papers (Schulman et al., 2016 and 2017; Yu et al., 2022), apart from the library's own: of that it
uses only the networks.
"""

import jax
import jax.numpy as jnp
import numpy as np


def advantages_of(reward, value, terminal, length, gamma, gae_lambda):
    """GAE of one agent's episode of `length` steps: `reward [T]`, `value [T + 1]`; 0 after its end."""
    advantage, after = np.zeros(len(reward)), 0.0
    for t in reversed(range(length)):
        goes_on = 0.0 if terminal[t] else 1.0
        delta = reward[t] + gamma * goes_on * value[t + 1] - value[t]
        after = delta + gamma * gae_lambda * goes_on * after
        advantage[t] = after
    return advantage


@jax.jit
def adam(params, gradient, first, second, count, rate, max_norm):
    """A step of Adam on the networks of one agent, after clipping the gradient by its norm."""
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, max_norm / norm), gradient)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)

    def moved(p, m, v):
        return p - rate * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)

    return jax.tree.map(moved, params, first, second), first, second


class Agent:
    """One agent's actor and critic: `logits(params, episodes) [B, T, A]`, `value(params, episodes) [B, T + 1]`."""

    def __init__(self, logits, value, actor, critic):
        self.logits, self.value, self.actor, self.critic = logits, value, actor, critic
        zeros = (jax.tree.map(np.zeros_like, x) for x in (actor, actor, critic, critic))
        self.actor_moments, self.critic_moments, self.count = [next(zeros), next(zeros)], [*zeros], 0
        self.actor_gradient = jax.jit(jax.grad(self.actor_loss))
        self.critic_gradient = jax.jit(jax.grad(self.critic_loss))

    def learn(self, data, settings, orders):
        """Learn from `data`: episodes, avail [B, T, A]; action, reward, terminal [B, T]."""
        value = np.asarray(self.value(self.critic, data["episodes"]), np.float64)
        gamma, lam, real = settings["gamma"], settings["gae_lambda"], np.asarray(data["episodes"].mask)
        each = zip(data["reward"], value, data["terminal"], real.sum(-1), strict=True)
        advantage = np.stack([advantages_of(*episode, gamma, lam) for episode in each])
        returns = advantage + value[:, :-1]
        target = (returns - returns[real].mean()) / returns[
            real
        ].std()  # the first iteration's moments are the batch's
        advantage = (advantage - advantage[real].mean()) / advantage[real].std()
        old = jax.jit(self.log_probs)(self.actor, data["episodes"], data["avail"])
        fixed = {"action": data["action"], "avail": data["avail"], "advantage": advantage}
        fixed |= {"old": chosen(old, data["action"]), "target": target, "old_value": value[:, :-1]}
        fixed = jax.tree.map(jnp.asarray, fixed) | {"episodes": data["episodes"]}
        for order in orders:
            part = jax.tree.map(lambda x, order=order: np.asarray(x)[order], fixed)
            self.descend(part, settings)

    def log_probs(self, params, episodes, avail):
        return jax.nn.log_softmax(jnp.where(avail, self.logits(params, episodes), -jnp.inf))

    def actor_loss(self, params, part, settings):
        log_probs = self.log_probs(params, part["episodes"], part["avail"])
        ratio, clip = jnp.exp(chosen(log_probs, part["action"]) - part["old"]), settings["clip"]
        clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
        surrogate = jnp.minimum(ratio * part["advantage"], clipped * part["advantage"])
        finite = jnp.where(part["avail"], log_probs, 0.0)
        entropy = -(jnp.where(part["avail"], jnp.exp(finite), 0.0) * finite).sum(-1)
        return -mean(surrogate + settings["entropy_weight"] * entropy, part["episodes"].mask)

    def critic_loss(self, params, part, settings):
        value, limit = self.value(params, part["episodes"])[:, :-1], settings["value_clip"]
        near = part["old_value"] + jnp.clip(value - part["old_value"], -limit, limit)
        error = jnp.maximum((value - part["target"]) ** 2, (near - part["target"]) ** 2)
        return mean(error, part["episodes"].mask)

    def descend(self, part, settings):
        self.count += 1
        given = self.count, settings["learning_rate"], settings["grad_clip"]
        gradient = self.actor_gradient(self.actor, part, settings)
        self.actor, *self.actor_moments = adam(self.actor, gradient, *self.actor_moments, *given)
        gradient = self.critic_gradient(self.critic, part, settings)
        self.critic, *self.critic_moments = adam(self.critic, gradient, *self.critic_moments, *given)


def mean(x, real):
    return jnp.sum(jnp.where(real, x, 0.0)) / jnp.sum(real)


def chosen(log_probs, action):
    return jnp.take_along_axis(log_probs, action[..., None], axis=-1)[..., 0]
