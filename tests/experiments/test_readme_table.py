"""The README's table is what the stored results say."""

import numpy as np
import pytest

from experiments import common, readme_table


def test_results_that_were_stored_before_the_success_rate_are_read():
    folder = common.RESULTS / "tasks" / "warehouse_d"
    metrics, _ = common._read(folder, common.Job("AVF-QMIX", "avf-qmix", "Warehouse-D", 8_000))
    assert "eval_success" not in (folder / "avf-qmix.csv").read_text().splitlines()[0]
    assert np.isnan(metrics["eval_success"]).all() and np.isfinite(metrics["eval_return"]).all()


def test_the_readme_has_the_stored_results():
    assert readme_table.table() in readme_table.README.read_text()


def test_only_the_table_is_replaced(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text(f"# A\n\nBefore.\n\n{readme_table.HEAD}\n|---|\n| old | 1 |\n\nAfter.\n\n| b |\n")
    monkeypatch.setattr(readme_table, "README", page)
    readme_table.main()
    assert page.read_text() == f"# A\n\nBefore.\n\n{readme_table.table()}\nAfter.\n\n| b |\n"


def test_a_page_without_the_table_is_left_alone(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text("# A\n")
    monkeypatch.setattr(readme_table, "README", page)
    with pytest.raises(SystemExit, match=r"README.md has no table that begins with \| task"):
        readme_table.main()
    assert page.read_text() == "# A\n"
