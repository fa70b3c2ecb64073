"""Every program of training is one for GPUs and TPUs, too: no call back to Python, no routine of CPUs alone."""

import re

import jax
import jax.numpy as jnp
import pytest

import jaxmac
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program

PLATFORMS = ("cuda", "tpu")
ENVIRONMENTS = ("BoxPushing-4", "Warehouse-D", "CaptureTarget-2", "Overcooked-A")
PORTABLE = {"cu_threefry2x32", "cu_threefry2x32_ffi"}  # the custom calls that XLA has on these platforms


def programs(algorithm, env_id):
    """Initialisation, iterations and evaluation of two members, traced as for an accelerator."""
    env = jaxmac.make(env_id)
    members = make_members(algorithm, env, "tuned", {}, 2, None)
    program = Program(algorithm, env, members)
    functions, keys, hyper = program.functions, program.keys, program.hyper
    shapes = jax.eval_shape(functions.init, keys, hyper)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    yield "init", functions.init.trace(keys, hyper)
    yield "advance", functions.advance.trace(shapes, keys, hyper, number, number)
    yield "evaluate", functions.evaluate.trace(shapes, keys, hyper, number)


CASES = [(algorithm, env_id) for algorithm in jaxmac.list_algorithms() for env_id in ENVIRONMENTS]
CASES += [(algorithm, "BoxPushing-4-primitive") for algorithm in ("avf-qmix", "mac-ippo")]


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "env_id"), CASES)
def test_programs_are_for_any_device(algorithm, env_id, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for name, traced in programs(algorithm, env_id):
        for platform in PLATFORMS:
            text = traced.lower(lowering_platforms=(platform,)).as_text()
            assert "callback" not in text, name
            assert set(re.findall(r"custom_call @(\w+)", text)) <= PORTABLE, name
