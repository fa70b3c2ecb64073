"""`python -m jaxmac` is the same as `jaxmac`."""

import sys

from jaxmac.cli.main import main

sys.exit(main())
