"""The command line: `main` holds the table of commands, and every command is a file of its own.

`devices`, `parsing`, `words`, `layers` (settings from files and runs) and `tables` hold what the commands share.
The entry point is `jaxmac.cli.main.main`.
"""
