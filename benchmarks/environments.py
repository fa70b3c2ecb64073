"""Steps per second of the environments; options as in `jaxmac bench`.

    python -m benchmarks.environments --env Warehouse-D Overcooked-A --parallel 64 4096

Writes benchmarks/results/bench-environments.json.
"""

import sys

from jaxmac.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--what", "environments", *sys.argv[1:]]))
