"""The list of packages, found in the tree, so that a new folder cannot be forgotten; all else is in pyproject.toml.

The folder envs/ is installed and imported as jaxmac.envs: one top-level package on a user's machine.
"""

from setuptools import find_packages, setup

OWN = find_packages(include=["jaxmac", "jaxmac.*"])
ENVIRONMENTS = ["jaxmac.envs", *(f"jaxmac.envs.{name}" for name in find_packages("envs"))]

setup(packages=sorted({*OWN, *ENVIRONMENTS}), package_dir={"jaxmac.envs": "envs"})
