"""One module for each table or figure of the results; README.md lists them with their commands."""
