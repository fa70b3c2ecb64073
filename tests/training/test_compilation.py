"""Programs are compiled for a CPU at a level of optimisation that suits them, and an error in one is raised."""

import gc

import pytest
from support.probes import Asynchronous
from support.runs import TINY
from support.selection import slow_except

import jaxmac
from jaxmac.runs.members import make_members
from jaxmac.training import compilation
from jaxmac.training.program import Program


class Recorded:
    """Stands for a lowered program: it keeps the options that it is compiled with."""

    def compile(self, options=None):
        return options


@pytest.mark.parametrize("flags", ["", "--xla_cpu_enable_fast_math=false"])
def test_training_compiles_quickly_and_initialisation_at_once(monkeypatch, flags):
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert compilation.compiled(Recorded()) == {"xla_backend_optimization_level": 1}
    assert compilation.compiled(Recorded(), once=True) == {"xla_backend_optimization_level": 0}


def test_a_level_among_the_flags_of_xla_goes_before(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
    assert compilation.compiled(Recorded()) is None


def test_other_devices_keep_the_level_of_xla(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(compilation.jax, "default_backend", lambda: "gpu")
    assert compilation.compiled(Recorded()) is None
    assert compilation.compiled(Recorded(), once=True) is None


@pytest.mark.parametrize("program", slow_except(["init"], ["init", "advance", "evaluate"]))
def test_an_error_of_any_of_the_three_programs_is_raised(monkeypatch, program):
    def refuse(lowered, once=False):
        if (once and program == "init") or program in lowered.as_text()[:200]:
            raise RuntimeError(f"{program} does not compile")
        return compilation.compiled(lowered, once)

    monkeypatch.setattr("jaxmac.training.program.compiled", refuse)
    with pytest.raises(RuntimeError, match=f"{program} does not compile"):
        jaxmac.train("avf-vdn", Asynchronous(), episodes=48, seeds=1, progress=False, **TINY)


class Watched(Asynchronous):
    """An environment that notes, whenever it is traced, whether Python collects garbage."""

    def reset(self, key):
        self.collecting.append(gc.isenabled())
        return super().reset(key)


@pytest.mark.parametrize("was_on", slow_except([True], [True, False]))
def test_no_garbage_is_collected_while_programs_are_traced(was_on):
    env = Watched()
    env.collecting = []
    program = Program("avf-vdn", env, make_members("avf-vdn", env, "tuned", TINY, 1, None))
    env.collecting.clear()
    (gc.enable if was_on else gc.disable)()
    try:
        program.compile()
        assert env.collecting and not any(env.collecting) and gc.isenabled() == was_on
    finally:
        gc.enable()


def test_an_error_while_a_program_is_traced_lets_garbage_be_collected_again(monkeypatch):
    def refuse(lowered, once=False):
        raise MemoryError("the compiled program does not fit")

    monkeypatch.setattr("jaxmac.training.program.compiled", refuse)
    with pytest.raises(MemoryError):
        jaxmac.train("avf-vdn", Asynchronous(), episodes=48, seeds=1, progress=False, **TINY)
    assert gc.isenabled()
