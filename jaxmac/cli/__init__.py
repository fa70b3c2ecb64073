"""The command line: `main` holds the table of commands, and every command is a file of its own.

`devices` and `parsing` hold what the commands share. The entry point is `jaxmac.cli.main.main`.
"""
