"""Runs whose config.json or metrics.csv is damaged at random: refused in one line, or read as what they say."""

import csv
import functools
import hashlib
import io
import json
import random
import warnings
import zipfile

import numpy as np
import pytest
from conftest import GOLDEN
from support import corruptions
from support.made_runs import made

import jaxmac
from jaxmac.errors import RunNote
from jaxmac.runs.directory import RunDirectoryError

NOTES = ("hyperparameters", "env_settings", "env_digest", "identity")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished sweep, an interrupted run, and one of format 1."""
    folder = tmp_path_factory.mktemp("runs")
    made(folder / "finished", seeds=2, sweep={"gamma": [0.9, 0.95], "hidden_size": [4, 8]}, batch_size=8)
    made(folder / "interrupted", "mac-iaicc", seeds=3, env_options={"horizon": 20})
    config = json.loads((folder / "interrupted" / "config.json").read_text())
    (folder / "interrupted" / "config.json").write_text(json.dumps(config | {"status": "interrupted"}, indent=2))
    with zipfile.ZipFile(GOLDEN / "run_format_1.zip") as archive:
        for name in ("config.json", "metrics.csv"):
            archive.extract(name, folder / "old")
    return [folder / name for name in ("finished", "interrupted", "old")]


def contents(folder):
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()
    }


def opened(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunNote)
        return jaxmac.load(run)


def refusal(run, read):
    """The error of one line that names the run; None where there is none."""
    try:
        read(run)
    except (RunDirectoryError, ValueError) as error:
        assert str(error) and "\n" not in str(error) and str(run) in str(error), repr(error)
        return str(error)
    return None


def same(a, b):
    """Whether two runs are equal.

    `hyperparameters` only notes which settings were given, and without `env_settings` there is one check less.
    """
    metrics = all(np.array_equal(a.metrics[name], b.metrics[name], equal_nan=True) for name in b.metrics)
    one, other = ({k: v for k, v in run.config.items() if k not in NOTES} for run in (a, b))
    return metrics and a.metrics.keys() == b.metrics.keys() and (one, a.specs) == (other, b.specs)


def says(result, run):
    """Whether a result is what the files say, read without jaxmac."""
    config = json.loads((run / "config.json").read_bytes())
    text = (run / "metrics.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    seeds = [row["seed"] for row in rows if int(row["member"]) == len(result.members) - 1]
    if config["format"] > 1 and result.config != config:
        return False
    if config["format"] > 1 and any(
        vars(spec.config)[name] != config["settings"][name]
        for spec in result.specs
        for name in vars(spec.config)
        if name not in config["sweep"]
    ):
        return False
    for name in ("episodes", "eval_return", "loss"):
        for member, values in enumerate(result.metrics[name].T):
            own = [float(row[name] or "nan") for row in rows if int(row["member"]) == member][: len(values)]
            if not np.array_equal(own, values[: len(own)], equal_nan=True):
                return False
    return not seeds or int(seeds[0]) == config["seeds"][-1]


def is_a_prefix(result, before):
    """Whether the run is as it was some evaluations earlier."""
    count = len(result.metrics["episodes"])
    return all(
        np.array_equal(values, before.metrics[name][:count], equal_nan=True)
        for name, values in result.metrics.items()
    )


@functools.cache
def intact(run):
    return opened(run)


def corrupt_and_read(run, draw):
    """Damage one file of a run, read it in every way, and undo the damage. Returns what happened."""
    name = draw.choice(["config.json", "metrics.csv"])
    kinds = corruptions.CONFIG if name == "config.json" else corruptions.METRICS
    kind = draw.choice(kinds)
    text, before = (run / name).read_text(), intact(run)
    damaged = kind(draw, text)
    damaged = damaged if isinstance(damaged, bytes) else damaged.encode()
    try:
        (run / name).write_bytes(damaged)
        files = contents(run)
        label = f"{run.name}: {name} {kind.__name__}"
        problem = refusal(run, opened)
        if problem is not None and draw.random() < 0.2:
            for read in (lambda path: jaxmac.resume(path, progress=False), jaxmac.evaluate, compared):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RunNote)
                    assert refusal(run, read) is not None, label
        if problem is None:
            after = opened(run)
            shorter = name == "metrics.csv" and before.status != "finished" and is_a_prefix(after, before)
            edited = kind in corruptions.EDITS and says(after, run)
            label += f", read as another run:\n{damaged.decode(errors='replace')}"
            assert same(after, before) or shorter or edited, label
        assert contents(run) == files, f"{label}: something was written"
    finally:
        (run / name).write_text(text)
    return kind.__name__, problem


def compared(run):
    return jaxmac.compare([run])


def attack(runs, seed, times):
    draw, outcomes = random.Random(seed), []
    for _ in range(times):
        outcomes.append(corrupt_and_read(draw.choice(runs), draw))
    return outcomes


def test_fifteen_random_corruptions(runs):
    outcomes = attack(runs, 0, 15)
    refused = sum(problem is not None for _, problem in outcomes)
    assert refused > 7


@pytest.mark.slow
def test_three_hundred_random_corruptions(runs):
    outcomes = attack(runs, 1, 300)
    refused = [problem for _, problem in outcomes if problem is not None]
    print(
        f"{len(refused)} of {len(outcomes)} refused, in {len(set(refused))} different lines, the others read right"
    )
    assert len(refused) > 150 and {kind for kind, _ in outcomes} == {
        kind.__name__ for kind in (*corruptions.CONFIG, *corruptions.METRICS)
    }
