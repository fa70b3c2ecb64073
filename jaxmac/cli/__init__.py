"""The command line, one file a command."""

from jaxmac.cli.main import main

__all__ = ["main"]
