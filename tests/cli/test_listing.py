"""`jaxmac list`: whole ids in 80 columns, plain lines for `grep`, and settings by the part that owns them."""

import io

import pytest
from rich.console import Console
from support.commands import refused

from jaxmac import envs
from jaxmac.algorithms import ALGORITHMS, configure
from jaxmac.cli import listing
from jaxmac.cli.main import main
from jaxmac.cli.tables import print_table
from jaxmac.config import settings_of


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns, whose text is returned."""
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("jaxmac.cli.tables.stdout_console", lambda: console)
    return file


def lines_of(capsys, *arguments):
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "arguments", [(), ("--envs",), ("--algorithms",), ("--algorithm", "avf-qplex"), ("--algorithm", "mac-iac")]
)
def test_a_terminal_of_80_columns_shows_whole_names(arguments, terminal):
    assert main(["list", *arguments]) == 0
    shown = terminal.getvalue()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 80
    words = set(shown.split())
    if "--algorithm" not in arguments:
        assert set(envs.list_ids()) <= words or "--algorithms" in arguments
        assert set(ALGORITHMS) <= words or "--envs" in arguments
    else:
        config = configure(arguments[1], "tuned", envs.make("BoxPushing-10"), {})
        assert set(settings_of(type(config))) <= words


@pytest.mark.parametrize(
    ("flag", "known"), [("--envs", envs.list_ids), ("--algorithms", lambda: tuple(ALGORITHMS))]
)
def test_one_id_per_line_with_a_clause(flag, known, capsys):
    lines = lines_of(capsys, flag)
    assert [line.split()[0] for line in lines] == list(known())
    assert all(len(line.split()) > 3 and not line.endswith(" ") for line in lines)


def test_clauses_say_what_it_is(capsys):
    found = {line.split()[0]: line for line in lines_of(capsys, "--envs", "--algorithms")}
    assert "Box Pushing with macro-actions; 2 agents, 100 steps" in found["BoxPushing-10"]
    assert "Warehouse Tool Delivery with actions of one step; 3 agents" in found["Warehouse-D-primitive"]
    assert "joint rows, mixer qplex" in found["avf-qplex"]
    assert "Mac-IAC: " in found["mac-iac"]
    assert "section" not in " ".join(found.values())


def test_a_pipe_gets_plain_lines_of_any_length(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = lines_of(capsys)
    assert "\x1b" not in "".join(lines) and not set("│┃━─…") & set("".join(lines))
    assert next(line for line in lines if line.startswith("CaptureTarget-10 ")).split() == [
        *("CaptureTarget-10", "10", "2", "4", "22", "60"),
    ]
    assert next(line for line in lines if line.startswith("Warehouse-D ")).split()[1:5] == ["3", "4", "4", "6"]


def test_every_setting_is_one_line_with_its_group(capsys):
    lines = lines_of(capsys, "--algorithm", "avf-qplex")
    assert lines[0] == "avf-qplex on BoxPushing-10; the default is the preset tuned"
    config = configure("avf-qplex", "tuned", envs.make("BoxPushing-10"), {})
    rows = {line.split()[0]: line for line in lines[2:] if line.startswith("  ")}
    assert set(rows) == set(settings_of(type(config))) == {"memory", *rows}
    assert rows["gamma"].split()[:3] == ["gamma", "0.98", "0.99"]
    assert (
        ">= 0 and <= 1" in rows["gamma"] and "discount factor per primitive step (swept together)" in rows["gamma"]
    )
    groups = [line for line in lines[2:] if line and not line.startswith("  ")]
    assert groups[0] == "algorithm" and "target" in groups and groups[-2:] == ["mixer qplex", "sampler tournament"]
    start = lines.index("mixer qplex")
    assert {line.split()[0] for line in lines[start + 1 : lines.index("sampler tournament")]} == {
        *("kernels", "advantage_embed", "advantage_layers", "hypernet_embed", "v_over_feasible", "weight_floor"),
    }
    assert lines.index("target") < next(i for i, line in enumerate(lines) if line.startswith("  td_lambda"))


def test_settings_of_parts_that_no_preset_chooses_are_listed_with_what_chooses_them(capsys):
    lines = lines_of(capsys, "--algorithm", "avf-vdn", "--env", "Warehouse-S")
    at = lines.index("with sampling=tournament")
    assert lines[at + 1].split()[:2] == ["replay_tournament", "-"] and lines[at + 1].endswith("(default 64)")
    assert lines[lines.index("with sampling=windows") + 1].endswith("(default 0)")
    ablations = lines_of(capsys, "--algorithm", "tomacvf-qmix")
    assert "with ablation=mac-sjert or ablation=both" in ablations


def test_presets_with_the_same_values_share_a_column(capsys):
    header = lines_of(capsys, "--algorithm", "mac-iac", "--env", "Warehouse-D")[1]
    assert "reference, paper" in header
    assert lines_of(capsys, "--algorithm", "mac-iac", "--env", "Warehouse-D")[0].startswith(
        "mac-iac on Warehouse-D;"
    )


def test_every_name_of_a_group_is_a_setting():
    env = envs.make("BoxPushing-10")
    known = {
        setting
        for name, spec in ALGORITHMS.items()
        for preset in spec.presets
        for setting in settings_of(type(configure(name, preset, env, {})))
    }
    assert {name for names in listing.GROUPS.values() for name in names} <= known


def test_what_does_not_go_together_is_refused(capsys):
    assert "--env is given beside --envs" in refused(capsys, "list", "--envs", "--env", "BoxPushing-4")
    assert "--algorithm is given beside --algorithms" in refused(
        capsys, "list", "--algorithms", "--algorithm", "avf-vdn"
    )


def test_narrow_terminals_wrap_and_lose_nothing():
    file = io.StringIO()
    console = Console(file=file, width=40, force_terminal=True, color_system=None)
    print_table(("name", "meaning"), [("a_long_name_of_20_chars", "several words that wrap here")], console)
    shown = file.getvalue()
    assert "a_long_name_of_20_chars" in shown and "…" not in shown
    assert all(word in shown for word in ("several", "words", "that", "wrap", "here"))
