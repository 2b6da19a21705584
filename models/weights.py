"""Weights from safetensors into modules: first names, shapes and types from the headers, then the numbers.

A module is built without memory for its weights (`without_weights`), the names in the files are compared with its own,
and only if all fit are tensors read. Nothing else in a folder is opened.

Version 5 of transformers dropped `text_model.` and `vision_model.` from the names in a lone CLIP text or vision model.
Published files have these prefixes, newer files do not; whether a module has them depends on the installed version.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import clean
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.opening import name_of
from .files.safetensors_header import read_header
from .files.stamps import ordinary_file, short_name

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")
#: Types of weights that are numbers by themselves; integers would need the scales of a quantisation.
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


class StoredTensor(NamedTuple):
    """A tensor in a safetensors file, as the header describes it; its numbers are not read yet."""

    file: Path
    key: str
    dtype: str
    shape: tuple[int, ...]


@contextmanager
def without_weights() -> Iterator[None]:
    """In this thread, new layers take no memory for their weights; buffers that a module computes are real.

    No function of torch is replaced, so other threads build and run modules meanwhile.
    """
    from .no_memory import NoMemory

    with NoMemory():
        yield


def list_stored(files: Sequence[Path], prefix: str | tuple[str, ...] = "") -> dict[str, StoredTensor]:
    """The tensors in some safetensors files by name, from their headers.

    Raises:
        ModelError: a file is damaged, or two files hold a tensor of the same name.
    """
    found: dict[str, StoredTensor] = {}
    for file in files:
        for key, info in read_header(file).tensors.items():
            if not key.startswith(prefix):
                continue
            if key in found:
                raise ModelError(
                    "source",
                    found=f"{clean(key)[:80]} in {short_name(found[key].file)} and in {short_name(file)}",
                    expected="each tensor in one file",
                    fix="download the model again",
                )
            found[key] = StoredTensor(file, key, info.dtype, tuple(info.shape))
    return found


def fit_names(stored: Mapping[str, T], module: nn.Module, prefix: str = "") -> dict[str, T]:
    """Stored tensors under the module's own names, with or without `prefix` in either; position numbers are dropped."""
    wanted = {name.removeprefix(prefix): name for name in module.state_dict()}
    return {
        wanted.get(name.removeprefix(prefix), name): value
        for name, value in stored.items()
        if not name.endswith("position_ids")
    }


#: Names in attention blocks of diffusers before version 0.18, which VAEs of Stable Diffusion 1.x still have.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def newest_names(stored: Mapping[str, T], module: nn.Module) -> dict[str, T]:
    """Stored tensors under the names that a module of diffusers has now, as diffusers itself renames them."""
    old = {
        f"{path}.{former}.{kind}": f"{path}.{name}.{kind}"
        for path, part in module.named_modules()
        if getattr(part, "_from_deprecated_attn_block", False)
        for former, name in OLD_ATTENTION.items()
        for kind in ("weight", "bias")
    }
    return {key: value for key, value in stored.items() if key not in old} | {
        old[key]: value for key, value in stored.items() if key in old
    }


def require_fit(
    module: nn.Module, found: Mapping[str, StoredTensor | Tensor], what: str, unused: tuple[str, ...] = ()
) -> None:
    """Refuse tensors that are not exactly those of a module; position numbers do not count.

    Args:
        module: it may be without weights.
        found: by the module's names.
        what: the model, for messages.
        unused: beginnings of other names that a file may also hold.

    Raises:
        ModelError: tensors are missing, left over, or of another shape or type.
    """
    wanted = {name: value for name, value in module.state_dict().items() if not name.endswith("position_ids")}
    tied = _tied(module)
    odd = {
        name: f"{_kind(found[name])} instead of {_kind(value)}"
        for name, value in wanted.items()
        if name in found and not _fits(found[name], value)
    }
    for kind, names in (
        ("missing", {name for name in wanted if not any(alias in found for alias in tied.get(name, (name,)))}),
        ("unexpected", {name for name in set(found) - set(wanted) if not name.startswith(unused)}),
        ("mismatched", set(odd)),
    ):
        if names:
            first = min(names)
            raise ModelError(
                None,
                found=f"{len(names)} {kind} weights in the {what}, e.g. {clean(first)[:120]}"
                + (f": {odd[first]}" if kind == "mismatched" else ""),
                expected="exactly the weights that its configuration describes",
                fix="the config.json and the weights belong to different models: download them again",
            )


def _fits(found: StoredTensor | Tensor, wanted: Tensor) -> bool:
    if tuple(found.shape) != tuple(wanted.shape):
        return False
    if not wanted.is_floating_point():
        return True
    return found.dtype in FLOATS if isinstance(found, StoredTensor) else found.is_floating_point()


def _kind(tensor: StoredTensor | Tensor) -> str:
    floating = tensor.dtype in FLOATS if isinstance(tensor, StoredTensor) else tensor.is_floating_point()
    shape = "×".join(map(str, tensor.shape)) or "one number"
    return shape if floating else f"{shape} integers"


def _tied(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """All names of the weights that have several."""
    names = defaultdict(list)
    for name, value in module.state_dict(keep_vars=True).items():
        names[id(value)].append(name)
    return {name: tuple(group) for group in names.values() if len(group) > 1 for name in group}


def fill(
    module: M,
    found: Mapping[str, StoredTensor | Tensor],
    what: str,
    *,
    unused: tuple[str, ...] = (),
    single: bool = False,
) -> M:
    """Put tensors into a module that was built without weights, after their shapes and types have been compared.

    A tensor that has several names in the module may be stored under any of them; the first one counts.

    Args:
        module: built inside `without_weights`.
        found: by the module's names; stored tensors are read one at a time.
        what: the model, for messages.
        unused: beginnings of other names that a file may also hold.
        single: round float64 to float32, as diffusers does.

    Raises:
        ModelError: tensors are missing, left over, or of another shape or type.
    """
    require_fit(module, found, what, unused)
    tied, wanted = _tied(module), module.state_dict()
    first = {name: next((alias for alias in group if alias in found), name) for name, group in tied.items()}
    chosen = {name: value for name, value in found.items() if name in wanted and first.get(name, name) == name}
    for name, value in _read(chosen):
        if single and value.dtype == torch.float64:
            value = value.to(torch.float32)
        weight = nn.Parameter(value, requires_grad=False)
        for alias in tied.get(name, (name,)):
            owner, _, leaf = alias.rpartition(".")
            part = module.get_submodule(owner)
            if leaf in part._buffers:
                part._buffers[leaf] = value
            else:
                part._parameters[leaf] = weight
    return module


def read_all(stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """The numbers of stored tensors, for those that must be cut or joined before a module takes them."""
    return dict(_read(stored))


def _read(chosen: Mapping[str, StoredTensor | Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The numbers of stored tensors, file by file."""
    from safetensors import safe_open

    by_file: dict[Path, list[tuple[str, StoredTensor]]] = defaultdict(list)
    for name, value in chosen.items():
        if isinstance(value, StoredTensor):
            by_file[value.file].append((name, value))
        else:
            yield name, value
    for path, listed in by_file.items():
        with ordinary_file(path) as (file, _), safe_open(name_of(file), framework="pt") as opened:
            for name, stored in listed:
                tensor = opened.get_tensor(stored.key)
                if tuple(tensor.shape) != stored.shape:
                    raise ModelError(
                        None,
                        found=f"{short_name(path)} changed while it was read",
                        expected="a file that stays as it is",
                        fix="run again when nothing writes to it",
                    )
                yield name, tensor
