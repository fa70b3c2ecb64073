"""The list of packages and the page for a package index; all else is in pyproject.toml.

Packages are found in the tree, so that a new folder cannot be forgotten. The folder envs/ is installed and imported
as jaxmac.envs: one top-level package on a user's machine.
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

OWN = find_packages(include=["jaxmac", "jaxmac.*"])
ENVIRONMENTS = ["jaxmac.envs", *(f"jaxmac.envs.{name}" for name in find_packages("envs"))]
RELATIVE = r"(?!\w+:|#)(?P<path>[^)\s]+)\)"
PICTURE, LINK = re.compile(r"(?P<opening>!\[[^\]]*\]\()" + RELATIVE), re.compile(r"(?P<opening>\]\()" + RELATIVE)


def with_absolute_links(text: str, repository: str) -> str:
    """A Markdown page whose links to files of this repository lead to its address, for a package index."""
    for pattern, kind in ((PICTURE, "raw"), (LINK, "blob")):
        text = pattern.sub(rf"\g<opening>{repository.rstrip('/')}/{kind}/HEAD/\g<path>)", text)
    return text


def main() -> None:
    """Set the package up; JAXMAC_REPOSITORY is the address that the page's links are to lead to, if any."""
    page, repository = Path("README.md").read_text(encoding="utf-8"), os.environ.get("JAXMAC_REPOSITORY", "")
    setup(
        packages=sorted({*OWN, *ENVIRONMENTS}),
        package_dir={"jaxmac.envs": "envs"},
        long_description=with_absolute_links(page, repository) if repository else page,
        long_description_content_type="text/markdown",
    )


if __name__ == "__main__":
    main()
