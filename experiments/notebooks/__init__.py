"""The notebooks of the documentation and the script that executes them."""
