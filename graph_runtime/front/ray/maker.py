"""What workers in a cluster have in common: the threads they compute with, what they keep, and what they say of it."""

import os
import platform
from collections.abc import Callable

from ..environment import environment_parts
from ..jobs.worker import Message
from .contents import Ref
from .scratch import Scratch


class BaseMaker:
    """Makes runs in this process, one at a time.

    Args:
        told: what all runs share.
        fetch: the piece of a reference.

    Attributes:
        device: where its runs compute; found by the class that makes them.
    """

    device: str

    def __init__(self, told: Message, fetch: Callable[[Ref], bytes]) -> None:
        import torch

        torch.set_num_threads(told["threads"])
        self._scratch = Scratch(told["session"], fetch)

    def hello(self) -> Message:
        """What the bits of this worker's results depend on."""
        return {
            "node": platform.node(),
            "pid": os.getpid(),
            "device": self.device,
            "parts": environment_parts(self.device),
        }

    def end(self) -> None:
        """Remove what was kept here for these runs."""
        self._scratch.remove()
