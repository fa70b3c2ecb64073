"""What a wheel, a source distribution and an editable install put on a user's machine: one package, jaxmac."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from support.builds import ROOT, build, copy_tree, install, outside_environment
from support.commands import SMALL

BROKEN = ("envs", "benchmarks", "tests", "experiments", "support")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def desk(tmp_path):
    """A folder of a user who has modules of their own with the names of folders of this repository."""
    folder = tmp_path / "desk"
    folder.mkdir()
    for name in BROKEN:
        (folder / f"{name}.py").write_text("raise RuntimeError('a module of the user was imported')\n")
    return folder


def files_of_the_tree():
    """Every module and data file of jaxmac/ and envs/, by the name that it has once installed."""
    unwanted = {"__pycache__"}
    found = set()
    for folder, package in (("jaxmac", "jaxmac"), ("envs", "jaxmac/envs")):
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder)
            linked = folder == "jaxmac" and inside.parts[0] == "envs"  # the link that some working trees have
            if path.is_file() and not linked and unwanted.isdisjoint(inside.parts):
                found.add(f"{package}/{inside.as_posix()}")
    return found


def test_the_wheel_holds_the_tree_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (top_level,) = [archive.read(name).decode() for name in names if name.endswith("/top_level.txt")]
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    assert (ROOT / "README.md").read_text().strip() in metadata
    assert top_level.split() == ["jaxmac"]
    packaged = {name for name in names if ".dist-info/" not in name}
    assert packaged == files_of_the_tree()
    assert {"jaxmac/py.typed", "jaxmac/envs/overcooked/navigation.npz", "jaxmac/envs/__init__.py"} <= packaged


def test_the_wheel_works_beside_modules_of_the_same_names(wheel, desk, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import jaxmac, jaxmac.envs, jaxmac.bench, jaxmac.cli; print(jaxmac.envs.__file__)"
    environment = outside_environment(PYTHONPATH=str(site))
    done = subprocess.run([sys.executable, "-c", code], cwd=desk, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))


@pytest.mark.slow
def test_the_source_distribution_makes_the_same_wheel(tree, wheel, tmp_path):
    source = build(tree, "sdist", tmp_path / "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("jaxmac-*/")
    assert not [path for path in unpacked.iterdir() if path.name in ("tests", "experiments", "benchmarks")]
    again = build(unpacked, "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_an_installed_package_trains(kind, tree, desk, tmp_path):
    commands = install(build(tree, kind, tmp_path / kind), tmp_path / "venv")

    def run(*command):
        done = subprocess.run(
            [commands / command[0], *command[1:]],
            cwd=desk,
            env=outside_environment(),
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run("python", "-c", "import jaxmac, jaxmac.envs as envs; print(jaxmac.__file__, envs.__file__)")
    expected = [tree] * 2 if kind == "editable" else [tmp_path / "venv"] * 2
    assert all(found.startswith(str(folder)) for found, folder in zip(place.split(), expected, strict=True))
    assert "avf-qplex" in run("python", "-m", "jaxmac", "list")
    run("jaxmac", "train", *SMALL, "--episodes", "8", "--out", "run")
    assert (desk / "run" / "metrics.csv").exists()


def test_links_of_the_page_lead_to_the_repository():
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "setup.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = "![a](docs/a.gif) [b](docs/b.md#c) [![d](d.png)](e.md) [f](https://f.org/g) [h](#i) [j](mailto:k@l.m)"
    at = "https://host/owner/jaxmac"
    assert script.with_absolute_links(page, at + "/") == (
        f"![a]({at}/raw/HEAD/docs/a.gif) [b]({at}/blob/HEAD/docs/b.md#c) "
        f"[![d]({at}/raw/HEAD/d.png)]({at}/blob/HEAD/e.md) "
        "[f](https://f.org/g) [h](#i) [j](mailto:k@l.m)"
    )
    page = script.with_absolute_links((ROOT / "README.md").read_text(), at)
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert links and all(link.startswith(("https://", "#")) for link in links)
    paths = [link.split("/HEAD/")[1].split("#")[0] for link in links if link.startswith(at)]
    assert paths and all((ROOT / path).exists() for path in paths)
