"""The memory that is free: no more than control groups and the limits of the process leave of the machine's."""

import re
import resource
import subprocess
import sys

import psutil
import pytest

from jaxmac import envs
from jaxmac.algorithms import configure
from jaxmac.training.memory import available_bytes, working_bytes

GB = 10**9
NO_LIMIT = 9223372036854771712  # in version 1


@pytest.fixture
def write(tmp_path):
    """A made-up root of the file system; returns a function that writes files below it."""

    def write(files):
        for name, content in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{content}\n")
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def a_large_machine(monkeypatch):
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=500 * GB))


def version_2(path, limit, used, inactive=0, **more):
    folder = f"sys/fs/cgroup{path}"
    files = {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 7\ninactive_file {inactive}"}
    return {f"{folder}/{name}": value for name, value in {**files, **more}.items()}


def version_1(path, limit, used, inactive=0, hierarchical=NO_LIMIT):
    folder = f"sys/fs/cgroup/memory{path}"
    stat = f"inactive_file 5\nhierarchical_memory_limit {hierarchical}\ntotal_inactive_file {inactive}"
    files = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used, "memory.stat": stat}
    return {f"{folder}/{name}": value for name, value in files.items()}


SECOND = {"proc/self/cgroup": "0::/jobs/mine"}
FIRST = {"proc/self/cgroup": "4:cpu,memory:/jobs/mine\n0::/"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 500 * GB),
        ({"proc/self/cgroup": "0::/jobs/mine"}, 500 * GB),
        (SECOND | version_2("/jobs/mine", 4 * GB, 1 * GB), 3 * GB),
        (SECOND | version_2("/jobs/mine", 4 * GB, 3 * GB, inactive=2 * GB), 3 * GB),  # a file cache gives way
        (SECOND | version_2("/jobs/mine", "max", 1 * GB), 500 * GB),
        (SECOND | version_2("/jobs/mine", "max", 1 * GB, **{"memory.high": 3 * GB}), 2 * GB),
        (SECOND | version_2("/jobs/mine", 9 * GB, 1 * GB) | version_2("/jobs", 6 * GB, 5 * GB), 1 * GB),
        (SECOND | version_2("/jobs/mine", "max", 1 * GB) | version_2("/jobs", 6 * GB, 7 * GB), 0),
        (SECOND | version_2("", 2 * GB, 1 * GB), 1 * GB),  # a container that does not show the path of its group
        ({"proc/self/cgroup": "0::/../.."} | version_2("", 2 * GB, 1 * GB), 1 * GB),
        (FIRST | version_1("/jobs/mine", 4 * GB, 1 * GB), 3 * GB),
        (FIRST | version_1("/jobs/mine", 4 * GB, 3 * GB, inactive=2 * GB), 3 * GB),
        (FIRST | version_1("/jobs/mine", NO_LIMIT, 1 * GB) | version_1("/jobs", 6 * GB, 4 * GB), 2 * GB),
        (FIRST | version_1("", 2 * GB, 1 * GB), 1 * GB),
        (FIRST | version_1("/jobs/mine", NO_LIMIT, 1 * GB, hierarchical=5 * GB), 4 * GB),  # of an unseen parent
        (FIRST | version_1("/jobs/mine", 4 * GB, 1 * GB) | version_2("/unified", 1, 0), 3 * GB),
        (SECOND | version_2("/jobs/mine", "damaged", 1 * GB), 500 * GB),
    ],
)
def test_control_groups_and_their_parents_limit_the_memory(files, free, write):
    assert available_bytes(write(files)) == free


LINUX_ONLY = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems enforce no such limit")


@LINUX_ONLY
@pytest.mark.parametrize(("name", "size"), [("RLIMIT_AS", "vms"), ("RLIMIT_DATA", "data")])
def test_limits_of_the_process_limit_the_memory(name, size, tmp_path):
    limit, used = getattr(resource, name), getattr(psutil.Process().memory_info(), size)
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (used + 2 * GB, before[1]))
    try:
        assert 1.5 * GB < available_bytes(tmp_path) < 2.1 * GB
    finally:
        resource.setrlimit(limit, before)


@LINUX_ONLY
@pytest.mark.slow
def test_a_run_that_does_not_fit_under_a_limit_of_the_shell_is_refused(tmp_path):
    command = f"ulimit -d 2500000; exec {sys.executable} -m jaxmac train --env BoxPushing-30 --seeds 64 --out run"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    refusal = done.stderr.splitlines()[-1]
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "this run needs about" in refusal and re.search(r"and [012]\.\d\d GB are free", refusal)
    assert not (tmp_path / "run").exists()


def test_all_episodes_that_an_iteration_rolls_out_are_counted():
    env = envs.make("BoxPushing-4")

    def needed(**options):
        return working_bytes(env, configure("mac-iaicc", "tuned", env, {"eval_episodes": 1, **options}), 1000)

    once, more = needed(num_envs=8), needed(num_envs=8, episodes_per_env=4)
    assert more - once == 2 * 8 * 3 * 1000


def test_the_widest_layer_of_each_network_is_counted():
    env = envs.make("BoxPushing-4")

    def needed(algorithm, **options):
        return working_bytes(env, configure(algorithm, "tuned", env, options), 1000)

    for algorithm, layer in (
        ("avf-vdn", "layer_size"),
        ("avf-vdn", "decode_size"),
        ("mac-iaicc", "critic_layer_size"),
    ):
        assert needed(algorithm, **{layer: 4096}) > 10 * needed(algorithm)
