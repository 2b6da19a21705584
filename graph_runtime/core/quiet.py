"""Keep the libraries of Hugging Face quiet while they load a model: users see inlay's own errors instead."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .bounded.effort import imported
from .light.later import torch

#: What speaks when diffusers imports torchao, whatever is loaded: of other GPUs' kernels, of torch's next release.
_AT_IMPORT = ("torchao", "torch.utils._pytree")
_LOADING = threading.RLock()  # the libraries' settings belong to the whole process, so loads take turns


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep libraries from printing while a model loads, then restore their settings.

    Args:
        names: of the libraries, each of which has its own `utils.logging`.
    """
    libraries = [imported(f"{name}.utils.logging") for name in names]
    others = [logging.getLogger(name) for name in _AT_IMPORT]
    with _LOADING:
        levels = [logger.level for logger in others]
        for logger in others:
            logger.setLevel(logging.ERROR)
        before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
        for library in libraries:
            library.set_verbosity(50)
            library.disable_progress_bar()
        try:
            yield
        finally:
            for logger, level in zip(others, levels, strict=True):
                logger.setLevel(level)
            for library, (verbosity, bars) in zip(libraries, before, strict=True):
                library.set_verbosity(verbosity)
                if bars:
                    library.enable_progress_bar()


@contextmanager
def no_loading() -> Iterator[None]:
    """Create layers while no model loads: during a load, new layers anywhere in the process get no initial weights."""
    with _LOADING:
        yield


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Create layers whose initial weights come from `seed`; torch's own random state is as before afterwards."""
    with no_loading(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
