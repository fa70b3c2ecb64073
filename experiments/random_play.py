"""Random play on every listed environment, for the figures: mean undiscounted return with default options.

    python -m experiments.random_play
    python -m experiments.random_play --env Warehouse-D Warehouse-S    # measures these anew and keeps the others

Writes the table in jaxmac/analysis/random_play.py.
"""

from pathlib import Path

import jaxmac
from experiments.baselines import COMPARED, returns
from jaxmac import envs
from jaxmac.analysis import random_play
from jaxmac.cli.scripts import ScriptParser

BEGIN = "RETURNS: dict[str, float] = {\n"


def main() -> None:
    """Measure the environments asked for and write the table."""
    parser = ScriptParser(__doc__)
    ids = envs.list_ids()
    parser.add_argument(
        "--env", nargs="+", choices=ids, default=ids, metavar="ID", help="environments (default: all)"
    )
    given = parser.parse_args()
    table = dict(random_play.RETURNS)
    for env_id in given.env:
        table[env_id] = float(f"{returns(jaxmac.make(env_id), 'random', COMPARED)[0]:.4g}")
        print(env_id, table[env_id], flush=True)
        write({name: table[name] for name in ids if name in table})


def write(table: dict[str, float]) -> None:
    """Replace the table in the module."""
    path = Path(random_play.__file__)
    rows = "".join(f'    "{name}": {value!r},\n' for name, value in table.items())
    before, rest = path.read_text().split(BEGIN)
    path.write_text(before + BEGIN + rows + "}\n" + rest.split("\n}\n", 1)[1])


if __name__ == "__main__":
    main()
