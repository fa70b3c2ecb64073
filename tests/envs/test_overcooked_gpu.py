"""Overcooked's search as a GPU kernel, on machines without a GPU: interpreted, and lowered for one."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import jaxmac
from jaxmac.envs.overcooked import build_navigation, gpu_search, heap_search, lanes
from jaxmac.envs.overcooked.layout import AGENT, COUNTER, ROW, SPACE
from jaxmac.envs.overcooked.planner import Planner

DEFAULT = 9  # no move
TRITON = "gpu.triton"


def random_lanes(rng, count, size):
    """Maps with a random share of counters and agents, cells and targets; one lane in ten is not needed."""
    grids = np.full((count, size, size), COUNTER)
    inside = (count, size - 2, size - 2)
    codes = np.where(rng.random(inside) < 0.1, AGENT, SPACE)
    grids[:, 1:-1, 1:-1] = np.where(rng.random(inside) < rng.uniform(0, 0.5, (count, 1, 1)), COUNTER, codes)
    return (
        rng.random(count) < 0.9,
        grids,
        rng.integers(1, size - 1, (count, 2)),
        rng.integers(size, size=(count, 2)),
    )


def packed(needed, grids, cells, targets):
    bits = 1 << np.arange(grids.shape[-1])
    agents = (grids == AGENT) @ bits
    boards = (grids == SPACE) @ bits + agents + (agents << heap_search.AGENTS)
    numbers = (ROW * c[:, 0] + c[:, 1] for c in (cells, targets))
    default = np.full(len(needed), DEFAULT)
    return needed, *(x.astype(np.int32) for x in (default, boards, *numbers))


def plain(needed, grids, cells, targets):
    size = grids.shape[-1]
    return [
        build_navigation.search(grid.ravel().tolist(), cell @ [size, 1], target @ [size, 1])[0] if mine else DEFAULT
        for mine, grid, cell, target in zip(needed, grids, cells, targets, strict=True)
    ]


def lowered(function, *args, platform="cuda"):
    """The program of a function for a platform."""
    return lowered_for(jax.jit(function).trace(*args), platform)


def lowered_for(traced, platform):
    """The program for a platform; versions of JAX from 0.11 on make no kernels without a GPU."""
    try:
        return traced.lower(lowering_platforms=(platform,)).as_text()
    except RuntimeError as error:
        if "No supported GPU devices found" not in str(error):
            raise
        pytest.skip("this version of JAX lowers kernels where there is a GPU only")


@pytest.fixture
def with_gpu(monkeypatch):
    """JAX claims to have found a GPU."""
    monkeypatch.setattr(lanes, "backends", lambda: {"cpu": None, "cuda": None})


@pytest.mark.parametrize(("size", "wide"), [(7, False), (9, True)])
def test_the_kernel_finds_what_the_plain_search_finds(size, wide):
    calls = random_lanes(np.random.default_rng(size), 500, size)
    expected = plain(*calls)
    with jax.enable_x64(wide):
        moves = jax.jit(functools.partial(gpu_search.search, interpret=True))(*packed(*calls))
    np.testing.assert_array_equal(moves, expected)
    assert moves.dtype == jnp.int32
    assert set(expected) == {*range(5), DEFAULT}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("size", [7, 9])
@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_the_kernel_is_a_valid_module_of_triton(platform, size, wide, monkeypatch, capsys):
    debug = functools.partial(gpu_search.pl.pallas_call, debug=True)  # prints the module, which nothing else checks
    monkeypatch.setattr(gpu_search.pl, "pallas_call", debug)
    with jax.enable_x64(wide):
        args = packed(*random_lanes(np.random.default_rng(0), 5, size))
        assert TRITON in lowered(gpu_search.search, *args, platform=platform)
    printed = capsys.readouterr().out
    assert "tt.func public @overcooked_search" in printed  # MLIR prints a module that is not valid in another form
    assert '"tt.func"' not in printed


@pytest.mark.parametrize("check", [False, True])
def test_the_kernel_shards(check):
    mesh = Mesh(np.array(jax.devices()[:1]), ("members",))
    spec = PartitionSpec("members")
    search = jax.shard_map(
        lambda needed, *rest: gpu_search.search(needed, jnp.full(needed.shape, DEFAULT, jnp.int32), *rest),
        mesh=mesh,
        in_specs=spec,
        out_specs=spec,
        check_vma=check,
    )
    needed, _, *rest = packed(*random_lanes(np.random.default_rng(0), 5, 7))
    assert TRITON in lowered(search, needed, *rest)


@pytest.mark.slow
def test_a_step_of_the_environment_calls_the_kernel_on_gpus_alone(with_gpu):
    env = jaxmac.make("Overcooked-A")
    keys = jax.random.split(jax.random.key(0), (2, 3))
    state, _ = jax.eval_shape(jax.vmap(jax.vmap(env.reset)), keys)
    step = jax.jit(jax.vmap(jax.vmap(env.step))).trace(keys, state, jnp.zeros((2, 3, 3), jnp.int32))
    for platform in ("cpu", "tpu"):
        text = lowered_for(step, platform)
        assert TRITON not in text, platform
        assert "stablehlo.while" in text, platform
    assert TRITON in lowered_for(step, "cuda")


def first_moves():
    """The moves of two agents in three environments, and arguments."""
    cells = jnp.full((3, 2), 17)
    items, others = jnp.zeros((3, 2, 5), int), cells[..., None]
    return jax.vmap(jax.vmap(Planner("A", 7, 2).first_move)), cells, cells, items, others


def test_the_planner_calls_the_kernel_on_gpus_alone(with_gpu):
    function, *args = first_moves()
    moves = jax.jit(function).trace(*args)
    assert TRITON not in lowered_for(moves, "cpu")
    assert TRITON in lowered_for(moves, "cuda")


def test_without_pallas_gpus_search_side_by_side(with_gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxmac.envs.overcooked.gpu_search", None)
    monkeypatch.delattr("jaxmac.envs.overcooked.gpu_search")
    text = lowered(*first_moves())
    assert TRITON not in text
    assert "tensor<6x27xui16>" in text  # the heaps of all six lanes


@pytest.mark.slow
def test_without_a_gpu_pallas_is_not_imported():
    program = """if True:
        import sys, jax, jaxmac
        env = jaxmac.make("Overcooked-A")
        key = jax.random.key(0)
        jax.eval_shape(env.step, key, env.reset(key)[0], jax.numpy.zeros(3, int))
        assert not [name for name in sys.modules if name.startswith("jax.experimental.pallas")]
    """
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
