"""benchmarks/paired.py: medians of ratios pair by pair, the page, and a folder that holds no version."""

import json
import sys
from contextlib import contextmanager

import pytest

from benchmarks import paired


@pytest.fixture
def rates(monkeypatch):
    """Rates of old and new, in turn: pairs whose ratios are 2, 3 and 1, while the ratio of the medians is 2.5."""
    given = iter([(10.0, 20.0), (10.0, 30.0), (25.0, 25.0)])
    turns = (rate for pair in given for rate in pair)
    asked = []

    @contextmanager
    def probe(case, settings, folder):
        def rate():
            asked.append((settings.get("memory"), folder.name))
            return next(turns)

        yield rate

    monkeypatch.setattr(paired, "probe", probe)
    return asked


def test_the_ratio_is_the_median_of_pairs_in_turn(rates, tmp_path):
    (tmp_path / "old" / "jaxmac").mkdir(parents=True)
    out = tmp_path / "paired.json"
    assert paired.main([str(tmp_path / "old"), "--case", "windows", "--pairs", "3", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["windows"]["ratio"] == 2.0
    assert [name for name, _ in rates] == [None, "mingru"] * 3
    assert rates[0][1] == "old" != rates[1][1]
    assert "| windows | 10 | 25 | 2.00 (1.50 to 2.50) | 2.2 |" in (tmp_path / "paired.md").read_text()


def test_one_pair_has_no_range_and_new_folders_are_made_before_measuring(rates, tmp_path, capsys):
    (tmp_path / "old" / "jaxmac").mkdir(parents=True)
    out = tmp_path / "new" / "paired.json"
    with pytest.raises(SystemExit):
        paired.main([str(tmp_path / "old"), "--pairs", "1", "--out", str(out)])
    assert "--pairs 1: a range needs 2 or more" in capsys.readouterr().err and not rates
    paired.main([str(tmp_path / "old"), "--case", "windows", "--pairs", "2", "--out", str(out)])
    assert out.exists()


def test_a_folder_without_jaxmac_is_refused(tmp_path, capsys):
    assert paired.main([str(tmp_path)]) == 2
    assert "has no folder jaxmac" in capsys.readouterr().err


def test_a_process_may_write_much_on_stderr(tmp_path):
    noisy = "import sys; sys.stderr.write('x' * 2**20); print('ready'); input(); print(2.5)"
    with paired.asked([sys.executable, "-uc", noisy], tmp_path) as ask:
        assert ask() == 2.5


@pytest.mark.parametrize(
    ("program", "words"), [("raise SystemExit('no memory')", "no memory"), ("exit(3)", "ended with status 3")]
)
def test_a_process_that_ends_says_why(program, words, tmp_path):
    with pytest.raises(RuntimeError, match=words), paired.asked([sys.executable, "-c", program], tmp_path):
        pass


def test_cases_of_several_machines_are_told_apart():
    one = {"machine": {"cpu": "A", "cores": 2}, "rates": [[1, 2], [1, 2]], "ratios": [2, 2], "ratio": 2, "goal": 0}
    page = paired.table({"windows": one, "episodes": one | {"machine": {"cpu": "B", "cores": 4}}})
    assert "Machine: A, 2 cores (windows); B, 4 cores (episodes)." in page
