"""`jaxmac bench --compare`: what two reports have in common, with ratios, and what else differs between them."""

import copy
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from support.commands import refused

from jaxmac.bench.compare import changes, differences, print_comparison, read_report

STORED = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture
def before():
    return {
        "machine": {"cpu": "a", "cores": 2, "device": "cpu"},
        "versions": {"jax": "0.8.0", "jaxmac": "0.1.0"},
        "environments": {
            "rows": [
                {"env": "BoxPushing-4", "parallel": 64, "devices": 2, "steps_per_second": {"median": 1000.0}},
                {"env": "Warehouse-D", "parallel": 64, "devices": 2, "steps_per_second": {"median": 1.0}},
            ]
        },
    }


@pytest.fixture
def after(before):
    report = copy.deepcopy(before)
    report["versions"]["jaxmac"] = "0.2.0"
    del report["environments"]["rows"][1]
    report["environments"]["rows"][0]["steps_per_second"]["median"] = 2500.0
    return report


def test_only_what_both_reports_have_is_compared(before, after):
    (change,) = changes(before, after)
    assert (change.what, change.before, change.after) == ("env BoxPushing-4, parallel 64, devices 2", 1000, 2500)
    assert list(differences(before, after)) == ["versions jaxmac: 0.1.0 before, 0.2.0 after"]


def test_the_table_has_the_ratio_of_the_medians_and_names_what_else_differs(before, after):
    text = io.StringIO()
    print_comparison(before, after, Console(file=text, width=120))
    assert "1,000" in text.getvalue() and "2,500" in text.getvalue() and "2.50" in text.getvalue()
    assert "Warehouse-D" not in text.getvalue()
    assert "0.1.0 before, 0.2.0 after" in text.getvalue()


def test_reports_without_anything_in_common_say_so(before):
    text = io.StringIO()
    print_comparison(before, before | {"environments": {"rows": []}}, Console(file=text))
    assert "no measurement in common" in text.getvalue()


def test_rows_of_other_sizes_are_named_and_not_compared():
    before = read_report(STORED / "bench-training.json")
    after = copy.deepcopy(before)
    row = after["training"]["rows"][0]
    row["max_rows"] += 1
    same = {change.what for change in changes(before, after)}
    assert same == {change.what for change in changes(before, before)} - {next(changes(before, before)).what}
    text = io.StringIO()
    print_comparison(before, after, Console(file=text, width=300))
    assert f"max_rows {row['max_rows'] - 1} before, {row['max_rows']} after" in text.getvalue()


@pytest.mark.parametrize("name", ["bench-training.json", "bench-environments.json"])
def test_stored_reports_can_be_compared_with(name):
    assert list(changes(*[read_report(STORED / name)] * 2))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}}', json.dumps({"training": {"rows": [{}]}})])
def test_a_file_that_is_no_report_is_refused_before_anything_is_measured(content, tmp_path, capsys):
    path = tmp_path / "old.json"
    path.write_text(content)
    error = refused(capsys, "bench", "--quick", "--compare", str(path), "--out", str(tmp_path / "results"))
    assert f"--compare {path} is not a report of jaxmac bench" in error
    assert not (tmp_path / "results").exists()


def test_a_report_that_is_missing_is_named(tmp_path, capsys):
    assert "old.json" in refused(capsys, "bench", "--quick", "--compare", str(tmp_path / "old.json"))
