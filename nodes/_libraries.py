"""Keeping the libraries that load models quiet: what they say reaches the user as our own errors. Precisions."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from ..graph_runtime import ModelError

DType = Literal["auto", "float16", "bfloat16", "float32", "float64"]
_LOADING = threading.RLock()  # the libraries' settings belong to the whole process, so loads take turns


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from printing while a model loads, then give them back their settings."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    with _LOADING:
        before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
        for library in libraries:
            library.set_verbosity(50)
            library.disable_progress_bar()
        try:
            yield
        finally:
            for library, (verbosity, bars) in zip(libraries, before, strict=True):
                library.set_verbosity(verbosity)
                if bars:
                    library.enable_progress_bar()


@contextmanager
def alone() -> Iterator[None]:
    """Make layers while nobody loads: a load keeps all new layers of the process from getting weights of their own."""
    with _LOADING:
        yield


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Make layers whose first weights are drawn from `seed`; nobody else draws meanwhile, and nothing of it stays."""
    with alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def share(path: Path) -> None:
    """Give a file, or every file of a folder, the permissions of any new file: safetensors shuts others out (0600)."""
    probe = path.with_name(f".{path.name}.{os.getpid()}.mode")
    probe.touch()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            file.chmod(mode)


def torch_dtype(name: DType, device: str) -> torch.dtype:
    """The precision that a name means on a device: `auto` is float16 on CUDA, float32 elsewhere.

    Raises:
        ModelError: float64 on a GPU of Apple's, which has none.
    """
    if name == "float64" and str(device).startswith("mps"):
        raise ModelError("dtype", found=f"float64 on {device}", expected="float16, bfloat16 or float32: "
                         "this GPU has no float64", fix="set dtype to float32 in the model node, or use --device cpu")
    if name == "auto":
        return torch.float16 if str(device).startswith("cuda") else torch.float32
    return {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32,
            "float64": torch.float64}[name]


def first_line(error: BaseException) -> str:
    """What an exception says first, at most 300 characters."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300]
