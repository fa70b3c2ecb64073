"""benchmarks/against_jaxmarl.py: the page of stored pairs, and a folder that is no checkout."""

from benchmarks import against_jaxmarl


def test_the_page_has_the_median_of_the_ratios_of_pairs():
    pairs = [(20.0, 10.0), (30.0, 10.0), (25.0, 25.0)]
    report = {
        "machine": {"cpu": "a", "cores": 2},
        "jaxmarl": "0123456789abc",
        "goal": 2.5,
        "seconds": {"gru": pairs},
    }
    page = against_jaxmarl.table(report)
    assert "| gru | 25.0 | 10.0 | 2.00 (1.00 to 3.00) |" in page and "commit 012345678." in page


def test_a_folder_without_their_program_is_refused(tmp_path, capsys):
    assert against_jaxmarl.main([str(tmp_path)]) == 2
    assert "qmix_rnn.py is missing: give a checkout of JaxMARL" in capsys.readouterr().err
