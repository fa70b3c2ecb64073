"""`python -m jaxmac` is the same as `jaxmac`."""

import sys

from jaxmac.cli import main

sys.exit(main())
