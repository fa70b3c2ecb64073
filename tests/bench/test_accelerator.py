"""benchmarks/accelerator.py says so where there is no accelerator, and runs tiny sizes on the CPU when asked to."""

import json

import jax
import pytest

from benchmarks import accelerator


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is an accelerator")
def test_without_an_accelerator_it_says_so_and_writes_nothing(tmp_path, capsys):
    assert accelerator.main(["--out", str(tmp_path / "x.json")]) == 2
    assert "no accelerator: JAX finds CPUs only" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_tiny_sizes_do_not_replace_the_kept_results(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "MEASURE", dict.fromkeys(accelerator.PARTS, lambda tiny: tiny))
    for name in ("OUT", "TINY_OUT"):
        monkeypatch.setattr(accelerator, name, tmp_path / getattr(accelerator, name).name)
    assert accelerator.main(["--anyway"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["accelerator-tiny.json"]


@pytest.mark.slow
def test_tiny_sizes_run_on_any_device(tmp_path):
    assert accelerator.main(["--anyway", "--out", str(tmp_path / "x.json")]) == 0
    report = json.loads((tmp_path / "x.json").read_text())
    assert all(report[part]["tiny"] and report[part]["machine"] for part in accelerator.PARTS)
    assert report["environments"]["found"]["rows"][0]["steps_per_second"]["median"] > 0
    assert report["training"]["found"][0]["updates_per_second"]["median"] > 0
    assert report["study"]["found"]["seconds"] > 0
