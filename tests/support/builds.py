"""Wheels and source distributions, built from a copy of the tree: nothing is left there and nothing old gets in."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"]
FOLDERS = ["jaxmac", "envs", "experiments", "benchmarks", "tests"]


def copy_tree(target):
    """The files that a build reads, and the folders that it should leave alone."""
    for name in SOURCES:
        shutil.copy(ROOT / name, target / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, target / name, ignore=_ignore)
    return target


def _ignore(folder, names):
    """Caches, recordings and results, and the link jaxmac/envs that some working trees have."""
    unwanted = {"__pycache__", "golden", "results"}
    return [name for name in names if name in unwanted or (Path(folder) / name).is_symlink()]


def build(tree, kind, out):
    """Run a hook of the build backend, `wheel`, `sdist` or `editable`, as pip does; the file that it made."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    finished = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    (made,) = out.iterdir()
    return made


def install(wheel, folder):
    """A virtual environment with this wheel that sees the packages of the running one; its folder of commands.

    No network is needed: pip comes from the standard library, and what jaxmac depends on is here.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [commands / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for path in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(path).iterdir():
            if not (entry.suffix == ".pth" or "jaxmac" in entry.name or (site / entry.name).exists()):
                (site / entry.name).symlink_to(entry)
    return commands


def outside_environment(**more):
    """Variables of a process that must not find this repository."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | more
