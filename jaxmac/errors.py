"""Errors, and phrases of their messages, that the whole library uses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What users of JaxMARL, PyMARL, EPyMARL, Mava and other libraries type -> our names.
SYNONYMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lr", "q_lr", "step_size"), ("learning_rate", "actor_learning_rate", "critic_learning_rate")),
    **dict.fromkeys(("actor_lr", "policy_lr"), ("actor_learning_rate",)),
    **dict.fromkeys(("critic_lr", "value_lr"), ("critic_learning_rate",)),
    **dict.fromkeys(("lr_decay", "lr_linear_decay", "anneal_lr", "decay_learning_rates"), ("learning_rate_decay",)),
    **dict.fromkeys(("discount", "discount_factor"), ("gamma",)),
    **dict.fromkeys(("tau", "target_update_tau"), ("polyak",)),
    **dict.fromkeys(
        ("target_update_interval", "target_update_period", "update_period"), ("target_episodes", "target_steps")
    ),
    **dict.fromkeys(("lambda", "lambda_"), ("td_lambda", "gae_lambda")),
    **dict.fromkeys(("n_steps", "nstep"), ("n_step",)),
    **dict.fromkeys(("hidden_dim", "rnn_hidden_dim", "rnn_hidden_size", "hidden_state_dim"), ("hidden_size",)),
    "hidden_units": ("hidden_size",),
    **dict.fromkeys(("num_layers", "n_layers"), ("hidden_layers",)),
    **dict.fromkeys(("mixing_embed_dim", "mixer_embedding_dim"), ("mixing_embed",)),
    **dict.fromkeys(("hypernet_hidden_dim", "mixer_hypernet_hidden_dim"), ("hypernet_embed",)),
    **dict.fromkeys(("rnn", "rnn_type", "cell_type"), ("memory",)),
    **dict.fromkeys(("grad_norm_clip", "max_grad_norm", "grad_clip_norm"), ("grad_clip",)),
    **dict.fromkeys(("ent_coef", "entropy_coef", "entropy_coeff"), ("entropy_weight",)),
    **dict.fromkeys(("clip_eps", "eps_clip", "clip_epsilon"), ("clip",)),
    **dict.fromkeys(("ppo_epochs", "update_epochs"), ("epochs",)),
    "num_minibatches": ("minibatches",),
    **dict.fromkeys(("add_agent_id", "obs_agent_id"), ("share_parameters",)),
    "min_buffer_size": ("learning_starts",),
    **dict.fromkeys(("eps_start", "epsilon_init"), ("epsilon_start",)),
    **dict.fromkeys(("eps_finish", "eps_end", "eps_min", "epsilon_finish", "epsilon_min"), ("epsilon_end",)),
    **dict.fromkeys(("eps_decay", "epsilon_decay", "epsilon_anneal_time"), ("epsilon_episodes",)),
    **dict.fromkeys(("batchsize", "buffer_batch_size", "sample_batch_size"), ("batch_size",)),
    "minibatch_size": ("batch_size", "minibatches"),
    **dict.fromkeys(("buffer_size", "buffer_max_size", "replay_size", "memory_size"), ("replay_episodes",)),
    **dict.fromkeys(("batch_size_run", "n_envs", "num_workers", "n_rollout_threads"), ("num_envs",)),
    **dict.fromkeys(("total_timesteps", "t_max", "num_timesteps", "num_env_steps"), ("episodes",)),
    **dict.fromkeys(("num_updates", "num_episodes"), ("episodes",)),
    **dict.fromkeys(("test_interval", "eval_interval", "evaluation_interval"), ("eval_every",)),
    **dict.fromkeys(("eval_freq", "num_evaluation"), ("eval_every",)),
    **dict.fromkeys(("test_nepisode", "num_eval_episodes", "num_test_episodes"), ("eval_episodes",)),
    **dict.fromkeys(("num_seeds", "n_seeds", "random_seed"), ("seeds", "seed")),
    "seed": ("seeds",),
    "seeds": ("seed",),
    **dict.fromkeys(("env_id", "env_name", "environment", "scenario", "map_name", "task"), ("env",)),
    **dict.fromkeys(("alg", "algo", "alg_name", "system", "learner", "mixer"), ("algorithm",)),
    **dict.fromkeys(("env_kwargs", "env_args"), ("env_options",)),
    **dict.fromkeys(("logger", "use_wandb", "wandb_mode", "use_tensorboard"), ("log",)),
    **dict.fromkeys(("output_dir", "save_path", "log_dir", "results_dir"), ("out",)),
}


class RunNote(UserWarning):
    """A note of one line, for example that settings of a run that was opened were dropped."""


class RunDirectoryError(OSError):
    """A run directory cannot be read or written; the message is one line and says what to do."""


def close_names(name: object, known: Iterable[str]) -> list[str]:
    """The known names that may have been meant, the likeliest first; at most three, or none.

    A name of another library leads to ours, also with dashes (`--lr`: `--learning-rate`).
    """
    known = list(known)
    meant = synonyms(str(name))
    if found := [k for target in meant for k in known if _bare(k) == target]:
        return found
    by_lower_case = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower_case, n=3, cutoff=0.5)
    return [by_lower_case[k] for k in close]


def synonyms(name: str) -> tuple[str, ...]:
    """Our names for a setting of another library, the likeliest first; none for a name that is unknown."""
    return SYNONYMS.get(_bare(name), ())


def nearest(name: object, known: Iterable[str]) -> str:
    """A phrase for an error message: "did you mean A or B?", or "known: ..." with all names if none is close."""
    known = list(known)
    if close := close_names(name, known):
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known) or 'none'}"


def _bare(name: str) -> str:
    """A flag or name as the key of a setting: `--Learning-Rate` is `learning_rate`."""
    return name.strip().lstrip("-").replace("-", "_").lower()


def bytes_in_words(count: float) -> str:
    """`2.50 GB`, or `12 MB` where it is less than a gigabyte."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none; at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
