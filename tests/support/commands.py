from jaxmac.cli.main import main

SMALL = [
    "--num-envs",
    "4",
    "--batch-size",
    "8",
    "--replay-episodes",
    "64",
    "--sampling",
    "uniform",
    "--learning-starts",
    "8",
    "--train-freq",
    "50",
    "--trajectory",
    "5",
    "--max-rows",
    "0",
    "--hidden-size",
    "8",
    "--hidden-layers",
    "1",
    "--eval-every",
    "8",
    "--eval-episodes",
    "2",
    "--seeds",
    "2",
    "--env",
    "BoxPushing-4",
    "--env-options.horizon",
    "12",
    "--algorithm",
    "avf-vdn",
]


def refused(capsys, *arguments):
    """Exit status 2 and one line on stderr, which is returned."""
    assert main(list(arguments)) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    return output.err
