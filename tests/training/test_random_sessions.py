"""Random sessions: whatever came before, a run is the one that a fresh process trains without a stop.

A session draws operations on run folders. Its model, a `Run` for each folder, says what must come out; a second
process, whose caches are emptied before every recipe, trains the same runs straight through.
"""

import json
import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from support.sessions import Elsewhere, Run, content, evaluated, recipes, stopped, table

import jaxmac

LENGTHS = (12, 24, 36, 48, 20, 40)  # training episodes; at the last two no evaluation is due
NAMES = ("a", "b", "c", "d", "e", "f", "g", "deep/h", "i", "j", "k", "l")
OWN = {"config.json", "metrics.csv", "curve.png", "checkpoints", "notes.txt"}  # notes.txt is the user's
QUESTIONS = ({}, {"best": True}, {"epsilon": 0.5, "seed": 3}, {"greedy": True}, {"member": 1})
KINDS = "train train resume resume resume copy move delete chdir keep evaluate evaluate_kept evaluate_kept export"
KINDS += " refuse refuse"
FIXED = (
    "train keep evaluate_kept resume evaluate_kept copy move evaluate delete refuse"  # those that are rarely drawn
)


class Session:
    """A random session in the folder `root`: the model, and operations, which give the folders they may change."""

    def __init__(self, seed, root, elsewhere):
        self.draw, self.root, self.elsewhere = random.Random(seed), root, elsewhere
        self.runs, self.kept, self.recipes = {}, [], recipes(self.draw)
        (root / "deep").mkdir(parents=True)
        (root / "deep" / "mine.txt").write_text("mine")

    def step(self, kind=None):
        """One operation, a random one without `kind`; it changes the folders that it is about and nothing else."""
        kind = kind or (self.draw.choice(KINDS.split()) if self.runs else "train")
        before, handler, cwd = content(self.root), signal.getsignal(signal.SIGINT), Path.cwd()
        folders = [self.root / name for name in getattr(self, kind)() or ()]
        after = content(self.root)
        changed = [path for path in before | after if before.get(path) != after.get(path)]
        assert all(any(path.is_relative_to(folder) for folder in folders) for path in changed)
        assert all({path.name for path in (self.root / name).iterdir()} <= OWN for name in self.runs)
        assert signal.getsignal(signal.SIGINT) == handler and (kind == "chdir" or Path.cwd() == cwd)

    def given(self, name):
        """The path of a folder, as a user may write it."""
        return self.draw.choice([self.root / name, os.path.relpath(self.root / name)])

    def some(self, fits=lambda run: True):
        """The name of a run that is as it should be, or None."""
        return self.draw.choice([name for name, run in self.runs.items() if fits(run)] or [None])

    def free(self):
        """A name that no run has."""
        return next(name for name in self.draw.sample(NAMES, len(NAMES)) if name not in self.runs)

    def saved(self, name):
        """The checkpoints of a run, in training episodes."""
        return sorted(4 * int(path.name) for path in (self.root / name).glob("checkpoints/group_0/*"))

    def train(self):
        """A new run, or one that takes the place of another."""
        name = self.some() if self.runs and self.draw.random() < 0.3 else self.free()
        run = Run(self.draw.choice(self.recipes), self.draw.choice(LENGTHS), "", 0, 0, self.draw.random() < 0.8)
        every = {"checkpoint_every": self.draw.choice([1, 2, 10]), "checkpoint_replay": run.replay}
        made = {"episodes": run.total, "out": self.given(name), "overwrite": name in self.runs, **every}
        return self.trained(name, run, lambda **more: jaxmac.train(**json.loads(run.recipe), **made, **more))

    def resume(self):
        """A run goes on, perhaps from an earlier checkpoint, perhaps to more episodes."""
        name = self.some(lambda run: run.replay and run.saved)
        if name is None:
            return self.train()
        run, start = self.runs[name], self.draw.choice(self.saved(name))
        last = start == run.saved
        total = run.total + self.draw.choice([12, 24, 8] if run.status == "finished" and last else [0, 12])
        rows = {int(row["episodes"]) for row in table(self.root / name) if int(row["episodes"]) <= start}
        ends = tuple(sorted(end for end in rows if end % 12 and end < total))
        made = {"episodes": total, "iteration": None if last else start // 4}
        run = run._replace(total=total, rows_to=max(rows), saved=start, ends=ends)
        return self.trained(name, run, lambda **more: jaxmac.resume(self.given(name), **made, **more))

    def trained(self, name, run, train):
        """Train a run from `run.saved` on, perhaps not to its end, and compare it with the straight one."""
        left = range(run.saved // 4 + 1, run.total // 4 + 1)
        at, by_signal = self.draw.choice([None, self.draw.choice(left or [None])]), self.draw.random() < 0.5
        with stopped(at, by_signal) as made:
            result = train(chunk=self.draw.choice([None, 1, 2]), progress=False)
        (self.root / name / "notes.txt").write_text("mine")
        done, status = 4 * made[-1] if made else run.saved, "finished" if at is None else "interrupted"
        due, lost = done % 12 == 0 or done == run.total, at is not None and not by_signal
        reached = done if due and not lost else (done - due) // 12 * 12
        saved = max([*self.saved(name), 0])  # an evaluation that is due comes before a checkpoint
        assert result.status == status and (saved < done if due and lost else saved == done)
        run = run._replace(status=status, rows_to=max(run.rows_to, reached), saved=saved)
        self.runs[name] = run
        self.compare(name)
        self.evaluate_kept((result, run, name, done))
        return [name]

    def compare(self, name):
        """The rows of a run are those of the straight one, with the evaluations where it had ended before."""
        run = self.runs[name]
        left_out = ("wall_seconds", *(("loss", "train_return") if run.ends else ()))  # means since the row before
        rows = self.elsewhere.rows(run.recipe, run.total, left_out)
        for end in run.ends:
            ended = self.elsewhere.rows(run.recipe, end, left_out)
            rows = rows + [row for row in ended if int(row["episodes"]) == end]
        rows.sort(key=lambda row: int(row["episodes"]))
        assert table(self.root / name, left_out) == [row for row in rows if int(row["episodes"]) <= run.rows_to]
        assert json.loads((self.root / name / "config.json").read_text())["status"] == run.status

    def copy(self):
        """A run is copied, with what the user keeps beside it."""
        name, to = self.some(), self.free()
        shutil.copytree(self.root / name, self.root / to)
        self.runs[to] = self.runs[name]
        return [to]

    def move(self):
        """A run takes another name."""
        name, to = self.some(), self.free()
        (self.root / name).rename(self.root / to)
        self.runs[to] = self.runs.pop(name)
        return [name, to]

    def delete(self):
        """A run goes, and cannot go on."""
        name = self.some()
        shutil.rmtree(self.root / name)
        del self.runs[name]
        self.refused(lambda: jaxmac.resume(self.given(name), progress=False))
        self.refused(lambda: jaxmac.evaluate(self.given(name)))
        return [name]

    def chdir(self):
        """The current directory changes."""
        os.chdir(self.draw.choice([self.root, self.root / "deep"]))

    def keep(self):
        """A run is loaded, and its Result evaluated later."""
        name = self.some()
        self.kept.append((jaxmac.load(self.given(name)), self.runs[name], name, self.runs[name].saved))

    def agrees(self, rows, run, episodes, asked):
        """The rows of an evaluation are those of the straight run after so many training episodes."""
        episodes = run.best_to() if "best" in asked else episodes
        if not episodes:
            return  # the best learner is none that the model knows
        whole = self.elsewhere.evaluated(run.recipe, episodes, asked)
        expected = [{key: row[key] for key in one} for one, row in zip(rows, whole, strict=True)]
        np.testing.assert_equal(rows, expected)  # those of an exported policy have fewer keys

    def evaluate(self):
        """A run folder is evaluated."""
        name = self.some()
        run, asked = self.runs[name], self.draw.choice(QUESTIONS)
        if run.saved:
            self.agrees(evaluated(self.given(name), asked), run, run.saved, asked)
        else:
            self.refused(lambda: evaluated(self.given(name), asked))

    def evaluate_kept(self, just_made=None):
        """A Result is evaluated: as it was, or not at all where it must read what is not there any more."""
        if just_made is not None:
            self.kept.append(just_made)
        if not self.kept:
            return
        result, run, name, learned_at = just_made or self.draw.choice(self.kept)
        asked, now = self.draw.choice(QUESTIONS), self.runs.get(name)
        in_memory = ((0, "best") if "best" in asked else 0) in result.learners
        on_disk = now is not None and now.recipe == run.recipe and run.saved in self.saved(name)
        if in_memory or (on_disk and (now == run or "best" not in asked)):
            self.agrees(evaluated(result, asked), run, learned_at, asked)
        elif not on_disk:
            self.refused(lambda: evaluated(result, asked))

    def export(self):
        """A policy is exported, and plays as the greedy run does."""
        name, member = self.some(lambda run: run.saved), self.draw.choice([0, 1])
        if name is None:
            return []
        run, recipe, to = self.runs[name], json.loads(self.runs[name].recipe), f"policy_{self.draw.random()}"
        out, best = self.given(to), bool(run.best_to()) and self.draw.random() < 0.5
        jaxmac.export_policy(self.given(name), member, out, best=best)
        self.refused(lambda: jaxmac.export_policy(self.given(name), member, out))
        env = jaxmac.make(recipe["env"], **recipe["env_options"])
        row = jaxmac.evaluate_policy(env, jaxmac.load_policy(out, env), 6, gamma=0.98)
        asked = {"greedy": True, "epsilon": 0.0, "member": member} | ({"best": True} if best else {})
        self.agrees([row], run, run.saved, asked)
        return [to]

    def refused(self, call):
        """A call raises one line and changes nothing."""
        before = content(self.root)
        with pytest.raises((ValueError, OSError)) as raised:  # RunDirectoryError is an OSError
            call()
        assert "\n" not in str(raised.value) and content(self.root) == before

    def refuse(self):
        """What must not work, for a run, and for a copy of it with the checkpoints of another one."""
        name = self.some()
        run, path, mixed = self.runs[name], self.given(name), self.root / "mixed"
        new = {**json.loads(self.recipes[0]), "progress": False, "out": path}
        calls = [
            lambda: jaxmac.train(**new),
            lambda: jaxmac.train(**new | {"gamma": 7.0}, overwrite=True),
            lambda: jaxmac.train(**new | {"out": self.root / "deep"}, overwrite=True),
            lambda: jaxmac.resume(path, episodes=run.total - 1, progress=False),
            lambda: jaxmac.resume(path, episodes=run.total + 12, iteration=999, progress=False),
            lambda: jaxmac.export_policy(path, 0, self.root / name / "checkpoints"),
        ]
        if run.status == "finished" or not run.replay or not run.saved:
            calls.append(lambda: jaxmac.resume(path, progress=False))
        self.refused(self.draw.choice(calls))
        other = self.some(lambda other: other.recipe != run.recipe and other.saved)
        if other is not None:
            shutil.copytree(self.root / name, mixed, ignore=shutil.ignore_patterns("checkpoints"))
            shutil.copytree(self.root / other / "checkpoints", mixed / "checkpoints")
            self.refused(lambda: jaxmac.resume(mixed, episodes=run.total + 12, progress=False))
            self.refused(lambda: evaluated(mixed, {}))
            shutil.rmtree(mixed)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The second process."""
    with Elsewhere(tmp_path_factory.mktemp("straight")) as process:
        yield process


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "kinds"),
    [
        *((seed, [None] * 7) for seed in (3, 5, 7)),
        (1, FIXED.split()),
    ],
)
def test_a_random_session(seed, kinds, tmp_path, monkeypatch, elsewhere):
    """A few operations, random ones or those given; in the end every run is compared."""
    session = Session(seed, tmp_path / "session", elsewhere)
    monkeypatch.chdir(session.root)
    for kind in kinds:
        session.step(kind if session.runs else None)
    for name in session.runs:
        session.compare(name)
    assert list(tmp_path.iterdir()) == [session.root]
