"""Environment steps and updates per second of training; options as in `jaxmac bench`.

    python -m benchmarks.training --env BoxPushing-10 --algorithm avf-qmix

Writes benchmarks/results/bench-training.json.
"""

import sys

from jaxmac.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--what", "training", *sys.argv[1:]]))
