"""Training: the pure functions, the compiled programs, the loop around them, and resuming a run."""

from jaxmac.training.loop import train
from jaxmac.training.pure import TrainFunction, make_train
from jaxmac.training.session import NonFiniteLossError, TrainingError

__all__ = ["NonFiniteLossError", "TrainFunction", "TrainingError", "make_train", "train"]
