"""Run directories as `train` leaves them, with made-up metrics and without training."""

import jax
import numpy as np

from jaxmac import envs
from jaxmac.algorithms import make_algorithm
from jaxmac.hyper import hyper_arrays
from jaxmac.runs.directory import FORMAT, RunDirectory, versions
from jaxmac.runs.environments import environment_sizes
from jaxmac.runs.exact import json_description
from jaxmac.runs.members import make_members, settings_of_run
from jaxmac.runs.result import Result
from jaxmac.runs.rows import COLUMNS, tabulate

EVALUATIONS = 14


def made(
    out, algorithm="avf-qmix", env="BoxPushing-4", level=90.0, seeds=4, sweep=None, env_options=None, **settings
):
    """A run directory as `train` leaves it, with returns around `level`, without training."""
    environment = envs.make(env, **(env_options or {}))
    specs = make_members(algorithm, environment, "tuned", settings, seeds, sweep)
    settings_of_all = settings_of_run(specs)
    interval = -(-settings_of_all["eval_every"] // settings_of_all["num_envs"]) * settings_of_all["num_envs"]
    config = {
        "format": FORMAT,
        "status": "finished",
        "algorithm": algorithm,
        "env": env,
        "env_options": env_options or {},
        "env_rebuildable": True,
        "env_settings": json_description(environment.options),
        "env_sizes": environment_sizes(environment),
        "preset": "tuned",
        "seeds": list(range(seeds)),
        "episodes": interval * (EVALUATIONS - 1),
        "sweep": sweep or {},
        "hyperparameters": settings,
        "settings": settings_of_all,
        "plugins": [],
        "optimal_return": environment.optimal_return,
        "checkpoint_every": 10,
        "checkpoint_replay": True,
        "diagnostics": [],
        "log": [],
        "log_id": None,
        "versions": versions(),
        "backend": "cpu",
        "finished": "2026-11-26T00:00:00",
    }
    noise = np.random.default_rng(int(level)).normal(size=(EVALUATIONS, len(specs)))
    rows = []
    for e in range(EVALUATIONS):
        values = level * min(1, e / 5) + noise[e]
        for i, spec in enumerate(specs):
            row = dict.fromkeys(COLUMNS, 0.0) | {"member": i, "seed": spec.seed, "episodes": interval * e}
            row |= {"train_return": 0.0 if e else np.nan, "loss": np.nan}
            row |= {"eval_return": values[i], "wall_seconds": 0.5 * e, **spec.swept}
            row |= {"env_steps": 1000 * e + i if e else 0}
            rows.append(row)
    with RunDirectory(out) as directory:
        directory.claim(overwrite=False, needed_bytes=0)
        directory.begin(config)
        directory.append(rows)
    table = tabulate(rows, [spec.swept for spec in specs])
    members = [{"seed": spec.seed, **spec.swept} for spec in specs]
    return Result(table, members, config, environment, out, "finished", specs, {})


def fresh_learners(result):
    """Learners of the one group of a made-up run as they begin: the last ones and, others, the best ones."""
    algorithm = make_algorithm(result.config["algorithm"], result.env, result.specs[0].config)
    hyper = hyper_arrays([spec.config for spec in result.specs])
    init = jax.jit(jax.vmap(algorithm.init))
    keys = [jax.random.split(jax.random.key(seed), len(result.specs)) for seed in (1, 2)]
    return {0: init(keys[0], hyper), (0, "best"): init(keys[1], hyper)}
