"""Errors of the scripts in experiments/ and benchmarks/, which share one parser."""

import pytest

from jaxmac.cli.scripts import ScriptParser


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "Warehous-D"], "--env: 'Warehous-D' is unknown; did you mean Warehouse-D?"),
        (["--env", "chess"], "--env: 'chess' is unknown; known: Warehouse-D, BoxPushing-10"),
        (["--seeds", "many"], "--seeds: invalid int value: 'many'"),
        (["--see", "3"], "unrecognized arguments: --see 3"),
    ],
)
def test_an_error_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = ScriptParser("An experiment.")
    parser.add_argument("--env", nargs="+", choices={"Warehouse-D": 1, "BoxPushing-10": 2})
    parser.add_argument("--seeds", type=int)
    with pytest.raises(SystemExit) as left:
        parser.parse_args(words)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("\n") == 1 and f": {message} (" in told


def test_names_that_are_known_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ScriptParser("Trains\n    one.")
    parser.add_argument("--env", nargs="*", choices=["A", "B"], default=[])
    assert parser.parse_args(["--env", "B", "A"]).env == ["B", "A"]
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "Trains\n    one." in shown and "--env [{A,B} ...]" in shown
