"""The host, ComfyUI: its folders, memory, progress bar and cancel button. The only file that names its modules.

They are looked up in `sys.modules` when a node runs, and never imported before the host did. Without a host, nodes
run on the CPU, without a progress bar, and use paths as they are given.
"""

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from ....nodes.pack import PACK
from ...core.errors import BadInput, clean, did_you_mean, shorten
from ...core.events import CancelToken, Event, ModelMoved, NodeProgress, Saved, Warned
from ...core.models import AnyDescription, ModelManager, _Resident
from ...core.opening import Gate, reading
from ...core.reading.reader import resolve_inside
from ...core.spec import PathRole
from ...core.user_paths import home

if TYPE_CHECKING:
    import torch

PREVIEW_SIDE = 512
logger = logging.getLogger("inlay")


def _host(name: str) -> ModuleType | None:
    """A module of the host, if the host has been started in this process."""
    if name in sys.modules:
        return sys.modules[name]
    if "comfy" not in sys.modules or not name.startswith("comfy."):
        return None
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _ask(module: str, function: str, *arguments: object) -> Any:  # noqa: ANN401 - the host has no types
    """Call a function of the host; None if there is none (another module may have the same name)."""
    found = getattr(_host(module), function, None)
    return found(*arguments) if callable(found) else None


def host_folder(kind: str) -> Path | None:
    """The host's `input`, `output` or `temp` folder."""
    found = _ask("folder_paths", f"get_{kind}_directory")
    return Path(found) if isinstance(found, (str, os.PathLike)) else None


def model_folders() -> tuple[Path, ...]:
    """The folders in which the host keeps models; links in them are followed."""
    folders: list[Path] = []
    for kind in ("checkpoints", "diffusers", "loras", "diffusion_models"):
        try:
            folders += [Path(folder) for folder in _ask("folder_paths", "get_folder_paths", kind) or []]
        except KeyError:  # this host has no such kind
            continue
    models = getattr(_host("folder_paths"), "models_dir", None)
    return (*folders, Path(models)) if isinstance(models, str) else tuple(folders)


def limits() -> AbstractContextManager[None]:
    """In the block, nodes read below the host's folders only; no limits without a host."""
    folders = [folder for kind in ("input", "output", "temp") if (folder := host_folder(kind)) is not None]
    if not folders:
        return nullcontext()
    own = [path(folder) for folder in (*model_folders(), home()) for path in (os.path.abspath, os.path.realpath)]
    return reading(
        Gate(
            frozenset(os.path.normcase(os.path.realpath(folder)) for folder in folders),
            frozenset(map(os.path.normcase, own)),
        )
    )


def metadata_allowed() -> bool:
    """False when the host was started with `--disable-metadata`."""
    return not getattr(getattr(_host("comfy.cli_args"), "args", None), "disable_metadata", False)


def resolve_path(parameter: str, value: str, role: PathRole) -> str:
    """The path that a widget names, below the host's folders; without a host, the path as it is.

    `name [output]` and `name [temp]` name the host's other folders, as its own loaders and mask editor write them.

    Raises:
        BadInput: the path leaves those folders (also through a link), does not exist, or cannot be a path.
    """
    try:
        return _resolved(parameter, value, role)
    except (OSError, ValueError) as error:  # a name that is longer than a file's can be
        raise BadInput(
            parameter,
            found=f"{shorten(value)}: {getattr(error, 'strerror', None) or error}",
            expected="a path",
            fix="choose a file of the host's input folder",
        ) from None


def _resolved(parameter: str, value: str, role: PathRole) -> str:
    text, kind = value, "input"
    for other in ("input", "output", "temp"):
        if value.endswith(f" [{other}]"):
            text, kind = value.removesuffix(f" [{other}]"), other
    root = host_folder(kind)
    if root is None:
        return value
    output = host_folder("output")
    text = _slashed(text, [root, *([output] if output else []), *model_folders()])
    if role.kind == "model":
        return _model_path(parameter, text)
    roots = [root]
    if text.endswith(".safetensors") and output is not None:
        roots.append(output)
    try:
        place = resolve_inside(text, roots)
    except BadInput as error:
        raise BadInput(
            parameter,
            found=error.found,
            expected=error.expected,
            fix="copy the file into the host's input folder and choose it there",
        ) from None
    path = place.path
    if not (place.base.is_dir() if place.pattern else path.exists()):
        there = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BadInput(
            parameter,
            found=f"no such file: {value!r}",
            expected=f"a file below {roots[0]}",
            fix=did_you_mean(path.name, there),
        )
    return str(path)


def _slashed(text: str, folders: list[Path]) -> str:
    """A path written on Windows, with slashes if only that path exists."""
    slashed = text.replace("\\", "/")
    if os.sep != "/" or slashed == text or os.pardir in slashed.split("/"):
        return text
    there = [any((folder / name).exists() for folder in folders) for name in (text, slashed)]
    return slashed if there == [False, True] else text


def _model_path(parameter: str, value: str) -> str:
    """A model's folder or file among the host's models, in its input or output folder; else the name as it is."""
    relative = not Path(value).is_absolute() and ".." not in Path(value).parts and not value.startswith("~")
    local = value.endswith((".safetensors", ".ckpt", ".bin", ".pt", ".pth")) or "/" in value or os.sep in value
    for folder in model_folders() if relative else ():
        found = folder / value
        if found.is_file() or (found / "model_index.json").is_file() or (local and found.exists()):
            return str(found)
    roots = [root for root in (host_folder("input"), host_folder("output")) if root is not None]
    if relative and local and any((root / value).exists() for root in roots):
        return str(resolve_inside(value, roots).path)
    if not relative or value.endswith((".safetensors", ".ckpt", ".bin", ".pt", ".pth")):
        raise BadInput(
            parameter,
            found=repr(value),
            fix="put it there, or choose an embedded model or a hub id",
            expected="a model below " + " or ".join(str(root) for root in [*model_folders(), *roots]),
        )
    return value


_listed: dict[tuple[str, bool], tuple[int, list[str]]] = {}


def input_pictures(folders: bool) -> list[str] | None:
    """Pictures (and folders) to choose from in the input folder; None without a host. One `stat` if unchanged."""
    folder = host_folder("input")
    if folder is None:
        return None
    key = (str(folder), folders)
    try:
        changed = folder.stat().st_mtime_ns
        if key not in _listed or _listed[key][0] != changed:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            names = [entry.name for entry in entries if Path(entry.name).suffix.lower() in PACK.picture_suffixes]
            names += [entry.name for entry in entries if folders and entry.is_dir()]
            _listed[key] = (changed, names)
    except OSError:
        return []
    return _listed[key][1]


# models: the host's memory management


class HostModelManager(ModelManager):
    """Leases whose weights the host manages: it may move them to the CPU when others need the memory, and back."""

    def __init__(self, device: str) -> None:
        super().__init__((device,), log=logger.info, place=self._hand_over)
        self._patchers: dict[int, tuple[object, torch.nn.Module]] = {}  # by module: the host's handle, what it holds

    def _bring_in(self, description: AnyDescription, device: str) -> _Resident:
        """Ask the host to free memory first: it knows what else is on the device."""
        _ask("comfy.model_management", "free_memory", description.nbytes() * 1.1, _device(device))
        return super()._bring_in(description, device)

    def _evict(self, key: tuple[AnyDescription, str], reason: str) -> int:
        self._patchers.pop(id(self._resident[key].module), None)
        return super()._evict(key, reason)

    def _hand_over(self, module: object, device: str) -> None:
        management, patching = _host("comfy.model_management"), _host("comfy.model_patcher")
        load = getattr(management, "load_models_gpu", None)
        if load is None or not hasattr(patching, "ModelPatcher"):
            return
        if id(module) not in self._patchers:
            holder = _holder(module)
            if holder is None:
                return
            offload = _ask("comfy.model_management", "unet_offload_device") or _device("cpu")
            patcher = patching.ModelPatcher(holder, _device(device), offload)  # type: ignore[union-attr]
            self._patchers[id(module)] = (patcher, holder)
        patcher, holder = self._patchers[id(module)]
        whole = {"force_full_load": True} if "force_full_load" in inspect.signature(load).parameters else {}
        load([patcher], **whole)  # fully, because plain layers cannot run half on the CPU
        holder.to(_device(device))


def _device(name: str) -> "torch.device":
    import torch

    return torch.device(name)


def _holder(value: object) -> "torch.nn.Module | None":
    """A plain module around every module in a lease: the host sets `device` on it, read-only on diffusers' models."""
    import torch

    inside = (
        [value]
        if isinstance(value, torch.nn.Module)
        else [
            item
            for item in (
                value.values()
                if isinstance(value, Mapping)
                else value
                if isinstance(value, (list, tuple))
                else vars(value).values()
                if hasattr(value, "__dict__")
                else ()
            )
            if isinstance(item, torch.nn.Module)
        ]
    )
    if not inside:
        return None
    holder = torch.nn.Module()
    for number, module in enumerate(inside):
        holder.add_module(f"part_{number}", module)
    return holder


@cache
def model_manager() -> HostModelManager:
    """One per process, on the device that the host computes on."""
    return HostModelManager(str(_ask("comfy.model_management", "get_torch_device") or "cpu"))


# progress, cancel, warnings


class HostCancel(CancelToken):
    """Asks the host, which raises its own exception (a BaseException) that no node catches."""

    __slots__ = ()

    @property
    def cancelled(self) -> bool:
        """True once cancelled here; raises the host's exception when it was cancelled there."""
        _ask("comfy.model_management", "throw_exception_if_processing_interrupted")
        return super().cancelled


class ProgressBar(Protocol):
    """The host's progress bar."""

    def update_absolute(self, value: int, total: int, preview: tuple[str, object, int] | None) -> None:
        """Show `value` of `total`, with a preview picture if there is one."""


class HostListener:
    """Forwards events: progress and previews to the host's bar, the rest to the log."""

    def __init__(self) -> None:
        self.bar: ProgressBar | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, NodeProgress):
            self.bar = self.bar or _ask("comfy.utils", "ProgressBar", event.total)
            if self.bar is not None:
                preview = None if event.preview is None else ("JPEG", event.preview, PREVIEW_SIDE)
                self.bar.update_absolute(event.step, event.total, preview)
        elif isinstance(event, Warned):
            logger.warning("%s: %s", event.node or "inlay", clean(event.message))
        elif isinstance(event, ModelMoved):
            logger.info("%s", clean(event.message))
        elif isinstance(event, Saved):
            logger.info("%s saved %s", event.node or "inlay", clean(event.path))
