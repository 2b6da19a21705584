"""Tensors in safetensors files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import clean
from ...graph_runtime.core.light.later import Tensor, torch
from ...graph_runtime.core.opening import name_of, open_file
from ...graph_runtime.core.tensors import owned
from ..known_keys.table import warn_unused
from .safetensors_header import require_small

OTHERS = "latent_format_version"  # marks latents of another program, which are not scaled


def read_tensors(path: Path, keys: Sequence[str], port: str) -> dict[str, Tensor]:
    """Those of `keys` that a safetensors file holds.

    Raises:
        BadInput: there is no such file, or it is not safetensors, or a tensor is not floating point.
    """
    if not path.is_file():
        raise BadInput(
            port,
            found=f"{path}, which is not a file",
            expected="a .safetensors file",
            fix="check the path, or run the workflow that writes it first",
        )
    with _opened(path, port) as file:
        there = set(file.keys())
        tensors = {key: owned(file.get_tensor(key)) for key in keys if key in there}
    _name_left(path.name, there, keys)
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise not_floating(key, port, str(tensor.dtype).removeprefix("torch."))
    return tensors


class Piece(Protocol):
    """A tensor in a file, known by its header."""

    def get_shape(self) -> list[int]:
        """Its shape."""

    def get_dtype(self) -> str:
        """Its type as safetensors names it."""


class Stored(Protocol):
    """What an open safetensors file offers."""

    def keys(self) -> list[str]:
        """The names of its tensors."""

    def get_tensor(self, name: str) -> Tensor:
        """A tensor with its values."""

    def get_slice(self, name: str) -> Piece:
        """A tensor without its values."""


@contextmanager
def _opened(path: Path, port: str) -> Iterator[Stored]:
    """A safetensors file, open by descriptor; raises BadInput where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with open_file(path) as file:
            require_small(file, lambda why: unreadable(path, port, why))
            with safe_open(name_of(file), framework="pt") as opened:
                yield opened
    except (SafetensorError, OSError) as error:
        raise unreadable(path, port, str(error)) from error


def _name_left(name: str, there: set[str], keys: Sequence[str]) -> None:
    """Warn about tensors in a file other than `keys`; a latent and noise may share a file."""
    left = sorted(there - set(keys) - {"latent", "z_T", "noises", "posterior_noise"})
    notes = [
        f"{key} (other programs do not multiply latents by the VAE's scaling factor, inlay does: multiply "
        "them, or use that program's own nodes)"
        for key in left
        if key.startswith(OTHERS)
    ]
    others = [clean(key)[:60] for key in left if not key.startswith(OTHERS)]
    if others:
        notes.append(f"its tensors {', '.join(others[:6])}{' …' * (len(others) > 6)} (no setting names them)")
    warn_unused(name, notes)


def tensor_shapes(path: Path, keys: Sequence[str], port: str) -> dict[str, Tensor] | None:
    """Those of `keys` that a file holds, as tensors without values, from its header; None if the file does not exist
    yet.

    Raises:
        BadInput: it is not safetensors, or a tensor is not floating point.
    """
    if not path.is_file():
        return None
    with _opened(path, port) as file:
        there = set(file.keys())
        found = {key: file.get_slice(key) for key in keys if key in there}
        kinds = {key: (piece.get_shape(), piece.get_dtype()) for key, piece in found.items()}
    _name_left(path.name, there, keys)
    for key, (_, kind) in kinds.items():
        if not kind.startswith(("F", "BF")):
            raise not_floating(key, port, kind)
    return {key: torch.empty(shape, device="meta") for key, (shape, _) in kinds.items()}


def unreadable(path: Path, port: str, why: str) -> BadInput:
    """The error about a file that is not safetensors."""
    return BadInput(
        port,
        found=f"{path.name}, which cannot be read as safetensors ({why})",
        expected="a whole .safetensors file",
        fix="write it again with latent.save",
    )


def not_floating(key: str, port: str, kind: str) -> BadInput:
    """The error about a tensor of integers."""
    return BadInput(
        port, found=f"{key!r} of type {kind}", expected="floating point numbers", fix="save the tensor as float32"
    )


def keys_of(path: Path) -> list[str]:
    """The names of the tensors in a safetensors file that is known to be whole."""
    with _opened(path, "path") as file:
        return sorted(file.keys())
