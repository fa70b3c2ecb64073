"""The zoo: the best member of each run given, as an exported policy in experiments/zoo.

    python -m experiments.make_zoo runs/experiments/tasks/warehouse_d/avf-qmix ...

A team replaces the one of the same task and algorithm if it is better; outside of EVERY_ALGORITHM a task keeps its
best team only. The return that is stored is the mean of EPISODES greedy episodes of seed 0, which a test plays
again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import jaxmac
from experiments.benchmark_report import changes_since
from experiments.common import slug
from jaxmac.analysis import final_returns
from jaxmac.cli.scripts import ScriptParser
from jaxmac.errors import RunDirectoryError
from jaxmac.export.loading import load_policy
from jaxmac.export.zoo import ZOO

EPISODES = 1000  # as many as `jaxmac eval` plays
EVERY_ALGORITHM = ("Warehouse-D", "Overcooked-A", "BoxPushing-10")


def main() -> None:
    """Add the best member of each run."""
    parser = ScriptParser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="run directories of jaxmac.train")
    parser.add_argument("--last", action="store_true", help="the last policy, not that of the best evaluation")
    given = parser.parse_args()
    for run in given.runs:
        try:
            entry = add(run, best=not given.last)
        except RunDirectoryError as error:
            raise SystemExit(str(error)) from None
        print(f"{entry['env']}, {entry['algorithm']}, seed {entry['seed']}: {entry['return']:.4g}")


def add(run: Path, best: bool = True) -> dict[str, Any]:
    """Export the best member of `run`, keep the better of it and what is there; returns what is there then.

    Raises SystemExit for a run that is not finished, or of other options of its task than the zoo's. The policy is
    that of the member's best evaluation, or with `best=False` its last one.
    """
    result = jaxmac.load(run)
    if result.status != "finished":
        raise SystemExit(f"{run}: its status is {result.status!r}; only finished runs go into the zoo")
    for team in read().get(result.config["env"], []):
        if team["env_options"] != result.config["env_options"]:
            options = f"{result.config['env_options']}, but the zoo's {team['folder']} with {team['env_options']}"
            raise SystemExit(f"{run}: {result.config['env']} was trained with the options {options}")
    member = int(np.argmax(final_returns(result.metrics["eval_return"])))
    draft = ZOO / "draft"
    jaxmac.export_policy(result, member, draft, best=best, overwrite=True)
    settings = {"settings": asdict(result.specs[member].config), "hyperparameters": {}}  # this member's, if swept
    return keep(draft, result.config | settings, result.members[member]["seed"])


def keep(draft: Path, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Move an exported team into the zoo if it is better than what is there; returns what is there then.

    `config` is the content of config.json of the run that trained it, with the member's own settings; `seed` is the
    member's.
    """
    _leave_out_programs(draft)
    options, folder = config["env_options"], f"{slug(config['env'])}/{config['algorithm']}"
    entry = {
        "env": config["env"],
        "env_options": options,
        "algorithm": config["algorithm"],
        "seed": seed,
        "episodes": config["episodes"],
        "return": evaluated(draft, config["env"], options),
        "folder": folder,
        "command": command(config, seed),
        "jaxmac": jaxmac.__version__,
    }
    index = read()
    teams = index.get(config["env"], [])
    rivals = teams
    if config["env"] in EVERY_ALGORITHM:
        rivals = [team for team in teams if team["algorithm"] == config["algorithm"]]
    better = next((team for team in rivals if team["return"] >= entry["return"]), None)
    if better is None:
        for team in rivals:
            shutil.rmtree(ZOO / team["folder"])
        (ZOO / folder).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(draft, ZOO / folder)
        kept = [team for team in teams if team not in rivals] + [entry]
        index[config["env"]] = sorted(kept, key=lambda team: -team["return"])
        (ZOO / "index.json").write_text(json.dumps(dict(sorted(index.items())), indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(draft, ignore_errors=True)
    return better or entry


def _leave_out_programs(folder: Path) -> None:
    """Keep the data of each exported network: `load_policy` needs no more, nor does jaxmac/export/runner.py."""
    for name in ("policy.jax_export", "run_policy.py"):
        for path in folder.rglob(name):
            path.unlink()
    for path in folder.rglob("policy.json"):
        about = json.loads(path.read_text(encoding="utf-8"))
        about.pop("jax_export", None)
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read() -> dict[str, list[dict[str, Any]]]:
    """The index, empty where there is none yet."""
    path = ZOO / "index.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def evaluated(folder: Path, env_id: str, options: dict[str, Any]) -> float:
    """Mean return of an exported team in EPISODES greedy episodes of seed 0."""
    env = jaxmac.make(env_id, **options)
    played = jaxmac.evaluate_policy(env, load_policy(folder, env), EPISODES, seed=0)
    return float(f"{played['mean']:.6g}")


def command(config: dict[str, Any], seed: int) -> str:
    """The command that trains this member: its preset, and the settings of its run that `tuned` has no more."""
    options = "".join(f" --env-options.{name.replace('_', '-')} {x}" for name, x in config["env_options"].items())
    names = f"--env {config['env']}{options} --algorithm {config['algorithm']} --preset tuned"
    env = jaxmac.make(config["env"], **config["env_options"])
    changed = changes_since(env, config["algorithm"], config["settings"] | config["hyperparameters"])
    names += "".join(f" --{name.replace('_', '-')} {then}" for name, (then, _) in changed.items())
    return f"jaxmac train {names} --seeds {seed}, --episodes {config['episodes']}"


if __name__ == "__main__":
    main()
