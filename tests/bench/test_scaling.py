"""benchmarks/scaling.py: exponents of known growth, the page it writes, and (slow) that its programs run."""

import json

import pytest

from benchmarks import scaling


@pytest.mark.parametrize(("power", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_the_exponent_is_the_slope_over_the_larger_half(power, expected):
    rows = [{"value": value, "seconds": 3.0 * value**power} for value in (4, 8, 16, 32)]
    assert scaling.exponent(rows) == expected
    rows[0]["seconds"] = 100.0  # a fixed cost at the smallest value changes nothing
    assert scaling.exponent(rows) == expected


def test_page_and_figure_are_made_of_the_stored_measurements(tmp_path):
    rows = [{"value": v, "seconds": v / 1000, "updates": 4, "bytes_per_member": 10**6 * v} for v in (1, 2, 4)]
    axes = [{"name": "members", "env": "BoxPushing-10", "rows": rows, "exponent": 1.0}]
    report = {
        "machine": {"cpu": "a processor", "cores": 2, "device": "cpu"},
        "base": {"num_envs": 16},
        "axes": axes,
    }
    for name in ("scaling-cpu.json",):
        (tmp_path / name).write_text(json.dumps(report))
    assert scaling.main(["--draw", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "scaling-cpu.md").read_text()
    assert "| members | BoxPushing-10 | 1 | 1: 1, 2: 2, 4: 4 | 1 to 4 |" in page
    assert "a processor" in page
    assert (tmp_path / "scaling-cpu.png").stat().st_size > 1000


def test_nothing_to_draw_is_told_in_a_line(tmp_path, capsys):
    assert scaling.main(["--draw", "--out", str(tmp_path)]) == 2
    assert "scaling-cpu.json is missing: measure first" in capsys.readouterr().err


def test_a_quantity_is_measured_alone_and_the_others_stay_on_the_same_machine(tmp_path, monkeypatch):
    def measured(axis, values):
        rows = [{"value": v, "seconds": seconds * v, "updates": 4, "bytes_per_member": 10**6} for v in values]
        return {"name": axis.name, "env": axis.env, "rows": rows, "exponent": 1.0}

    monkeypatch.setattr(scaling, "measured", measured)
    words, path = ["--quick", "--out", str(tmp_path)], tmp_path / "scaling-cpu-quick.json"
    seconds = 1.0
    assert scaling.main(words) == 0
    seconds = 2.0
    assert scaling.main([*words, "--axis", "agents", "num_envs"]) == 0
    found = {axis["name"]: axis["rows"][0]["seconds"] / axis["rows"][0]["value"] for axis in read(path)["axes"]}
    assert list(found) == [axis.name for axis in scaling.AXES]
    assert sorted(name for name, each in found.items() if each == 2.0) == ["agents", "parallel episodes (num_envs)"]
    path.write_text(json.dumps(read(path) | {"machine": {"cpu": "another", "cores": 2, "device": "cpu"}}))
    assert scaling.main([*words, "--axis", "agents"]) == 0
    assert [axis["name"] for axis in read(path)["axes"]] == ["agents"]


def read(path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_every_axis_runs_at_its_smallest_value():
    for axis in scaling.AXES:
        row = scaling.measured(axis, axis.values[:1])["rows"][0]
        assert row["seconds"] > 0
        assert row["updates"] == 4
