"""Every experiment trains jobs whose algorithm, preset, settings and environment exist; nothing is trained here."""

import importlib
import sys

import pytest

import jaxmac
from experiments import common, what_made_the_difference
from jaxmac.algorithms import configure
from jaxmac.envs import Environment

ARGUMENTS = {"figures": ["tomacvf-6"]}  # those that an experiment cannot do without
NO_JOBS = {
    "tuning",
    "sweeps",
    "common",
    "baselines",
    "benchmark",
    "benchmark_cells",
    "benchmark_report",
    "make_zoo",
    "pictures",
    "random_play",
}
NO_JOBS |= {
    "claims",
    "papers_claims",
    "papers_verdicts",
    "reproduction",
    "readme_table",
    "mixer_weights",
    "failing_evaluations",
}
NO_JOBS |= {"salad_bound", "interval_coverage"}
NAMES = sorted(path.stem for path in common.RESULTS.parent.glob("*.py") if path.stem not in ("__init__", *NO_JOBS))
GRUS = {("Warehouse-D", "tuned"), ("BoxPushing-20", "GRU")}


@pytest.fixture
def jobs(monkeypatch):
    """The jobs of an experiment: `jobs(name)` runs its `main` without any training or playing."""
    monkeypatch.setattr(jaxmac, "use_cpu_devices", lambda count: None)

    def jobs(name):
        module, collected = importlib.import_module(f"experiments.{name}"), []
        monkeypatch.setattr(sys, "argv", [name, *ARGUMENTS.get(name, [])])
        monkeypatch.setattr(module, "run", lambda folder, title, jobs, *rest: collected.append((folder, jobs)))
        for function, value in (("anchors", {}), ("returns", (0.0, 0.0)), ("best_repeated", 0.0)):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, lambda *arguments, value=value: value)
        module.main()
        return collected

    return jobs


@pytest.mark.parametrize("name", NAMES)
def test_every_job_can_be_configured(name, jobs):
    if name in ("options_on_mpe", "mpe_spread"):
        pytest.importorskip("jaxmarl")
    runs = jobs(name)
    assert runs and len({folder for folder, _ in runs}) == len(runs)
    for _, found in runs:
        assert found and len({job.label for job in found}) == len(found)
        for job in found:
            env = job.env if isinstance(job.env, Environment) else jaxmac.make(job.env, **job.env_options)
            configure(job.algorithm, job.preset, env, job.settings)


@pytest.mark.parametrize("name", sorted(NO_JOBS))
def test_the_others_can_be_imported(name):
    assert importlib.import_module(f"experiments.{name}").__doc__


def test_changes_are_made_with_a_mingru_also_where_tuned_has_a_gru():
    for env_id in ("Warehouse-D", "BoxPushing-20"):
        for label, settings in what_made_the_difference.changes(env_id).items():
            memory = configure("avf-qmix", "tuned", jaxmac.make(env_id), settings).memory
            assert memory == ("gru" if (env_id, label) in GRUS else "mingru"), f"{env_id}, {label}"
    assert {"tuned", "minGRU", "lambda 0"} < set(what_made_the_difference.changes("Warehouse-D"))
