"""Training: the compiled functions, the loop around them, and how a run is continued."""

from jaxmac.training.loop import NonFiniteLossError, TrainingError, train
from jaxmac.training.resume import resume

__all__ = ["NonFiniteLossError", "TrainingError", "resume", "train"]
