"""What random sessions are made of: tiny runs, what a model knows of them, and a process that trains them anew."""

import contextlib
import csv
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

import jaxmac
from jaxmac.training import member_functions
from jaxmac.training.program import Program

BOTH = {"num_envs": 4, "hidden_size": 8, "eval_every": 12, "eval_episodes": 4}
VALUE = {**BOTH, "batch_size": 4, "replay_episodes": 16, "learning_starts": 8, "train_freq": 12, "hidden_layers": 1}
ALGORITHMS = {
    "avf-qmix": {**VALUE, "trajectory": 5, "mixing_embed": 4},
    "mac-dec-q": {**VALUE, "trajectory": 5, "sampling": "uniform"},
    "mac-iaicc": {**BOTH, "layer_size": 4, "critic_hidden_size": 4, "critic_layer_size": 4, "target_episodes": 8},
    "tomacvf-qmix": {**VALUE, "attention_width": 4, "hypernet_embed": 4},
}


def recipes(draw):
    """Two random runs as JSON, and a third one, which shares the program of the first if its horizon is equal."""
    first, second = draw.sample(sorted(ALGORITHMS), 2)
    found = []
    for algorithm in (first, second, first):
        env = {"env": "BoxPushing-4", "env_options": {"horizon": draw.choice([10, 12])}}
        rate = "critic_learning_rate" if algorithm == "mac-iaicc" else "learning_rate"
        settings = {**ALGORITHMS[algorithm], "seeds": draw.sample(range(9), 2), rate: draw.random() / 9}
        if draw.random() < 0.3:
            settings |= {"sweep": {rate: [0.01, settings.pop(rate)]}, "seeds": [4]}
        found.append(json.dumps({"algorithm": algorithm, **env, **settings}))
    return found


class Run(NamedTuple):
    """What the model knows of a run folder; numbers are training episodes."""

    recipe: str  # what decides the results, as JSON
    total: int
    status: str
    rows_to: int  # the last evaluation in metrics.csv
    saved: int  # the last checkpoint; 0: there is none
    replay: bool  # whether it can be resumed
    ends: tuple = ()  # where it had ended before, though no evaluation was due

    def best_to(self):
        """The last evaluation that counts for the best learner of the checkpoint; 0: the model does not know it."""
        whole = self.status == "finished" and self.saved == self.total
        return 0 if self.ends else self.saved if whole else self.saved - self.saved % 12


def content(folder):
    """Path -> digest of every file in a folder; of folders it is empty."""
    return {f: hashlib.sha256(f.read_bytes()).digest() if f.is_file() else b"" for f in folder.rglob("*")}


def table(folder, left_out=("wall_seconds",)):
    """The rows of a metrics.csv."""
    with (folder / "metrics.csv").open() as stream:
        return [{k: v for k, v in row.items() if k not in left_out} for row in csv.DictReader(stream)]


def evaluated(run, asked):
    """The rows of `jaxmac.evaluate` over few episodes."""
    return jaxmac.evaluate(run, **{"episodes": 6, **asked})


@functools.cache
def straight(recipe, episodes):
    """The Result of a run without a stop, by a process that forgets everything between two recipes."""
    if getattr(straight, "recipe", None) != recipe:
        member_functions._programs.clear()
        jax.clear_caches()
    straight.recipe, out = recipe, Path(tempfile.mkdtemp(dir=".")) / "run"
    jaxmac.train(**json.loads(recipe), episodes=episodes, out=out, progress=False)
    return jaxmac.load(out)


@functools.cache
def answer(recipe, episodes, asked, left_out):
    """The rows of the straight run (`asked` is "null"), or those of its evaluation."""
    run, asked = straight(recipe, episodes), json.loads(asked)
    return table(run.path, left_out) if asked is None else evaluated(run, asked)


class Elsewhere:
    """The second process, which works in `folder`; it is a context."""

    def __init__(self, folder):
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, context, initializer=os.chdir, initargs=(folder,))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown()

    def rows(self, recipe, episodes, left_out):
        """The rows of metrics.csv of a run that was trained straight through."""
        return self.pool.submit(answer, recipe, episodes, "null", left_out).result()

    def evaluated(self, recipe, episodes, asked):
        """The rows of its evaluation."""
        return self.pool.submit(answer, recipe, episodes, json.dumps(asked), ()).result()


@contextlib.contextmanager
def stopped(at, by_signal):
    """Inside, a run is interrupted once it has made `at` iterations; gives a list of the iterations made."""
    advance, made = Program.advance, []

    def interrupted(program, first, last, chunk, then):
        def note(done):
            made.append(done)
            if at is not None and done >= at:
                if not by_signal:
                    raise KeyboardInterrupt
                signal.raise_signal(signal.SIGINT)
            then(done)

        return advance(program, first, last, chunk, note)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Program, "advance", interrupted)
        yield made
