"""A vector environment of processes, shaped like AgileRL's `AsyncPettingZooVecEnv`, and a program that runs it.

As there, the process that starts the others builds an environment of its own first, to read its spaces. The program
prints the states in which the environments end; pytest cannot be the process that forks, since JAX runs in it.
"""

import json
import multiprocessing
import sys

import cloudpickle
import jax
import numpy as np
from jax._src import xla_bridge

import jaxmac
from jaxmac.envs import list_ids
from jaxmac.envs.adapters import to_pettingzoo


class VectorEnvironment:
    """Environments in processes of their own, each reached through a pipe."""

    def __init__(self, builders, context):
        processes = multiprocessing.get_context(context)
        built_here = builders[0]()
        self.agents = built_here.possible_agents
        self.action_spaces = {agent: built_here.action_space(agent) for agent in self.agents}
        built_here.close()
        self.pipes, self.processes = [], []
        for builder in builders:
            here, there = processes.Pipe()
            worker = processes.Process(target=work, args=(cloudpickle.dumps(builder), there), daemon=True)
            worker.start()
            self.pipes.append(here)
            self.processes.append(worker)

    def call(self, name, arguments, timeout=150.0):
        """Call a method in every process, with a tuple of arguments for each; an error is an answer, too."""
        for pipe, given in zip(self.pipes, arguments, strict=True):
            pipe.send((name, given))
        answers = []
        for pipe in self.pipes:
            if not pipe.poll(timeout):
                raise TimeoutError(f"no answer to {name} in {timeout} seconds")
            answers.append(pipe.recv())
        return answers

    def close(self):
        for worker in self.processes:
            worker.kill()
            worker.join()


def work(builder, pipe):
    """Answer calls, in a process of its own."""
    env = cloudpickle.loads(builder)()
    while True:
        name, arguments = pipe.recv()
        try:
            pipe.send(getattr(env, name)(*arguments))
        except RuntimeError as error:
            pipe.send(error)


SEEDS = (3, 4)


def build():
    return to_pettingzoo(jaxmac.make("CaptureTarget-2", horizon=6), mask_in="info")


def actions_at(t, action_spaces):
    """What the agents do at a step, as learners give it: an array for each."""
    return {agent: np.array([t % space.n]) for agent, space in action_spaces.items()}


def main(context):
    """`late` is `fork` in a process in which JAX runs already."""
    if context == "late":
        jax.numpy.zeros(1)
    elif context == "fork":
        for id in list_ids():
            to_pettingzoo(jaxmac.make(id))
    envs = VectorEnvironment([build] * len(SEEDS), "fork" if context == "late" else context)
    answers = envs.call("reset", [(seed,) for seed in SEEDS])
    if context == "late":
        print(json.dumps([str(answer) for answer in answers]))
    else:
        if xla_bridge.backends_are_initialized():
            raise RuntimeError("JAX runs in the process that only made a view")
        for t in range(3):
            envs.call("step", [(actions_at(t, envs.action_spaces),)] * len(SEEDS))
        print(json.dumps([state.tolist() for state in envs.call("state", [()] * len(SEEDS))]))
    envs.close()


if __name__ == "__main__":
    main(sys.argv[1])
