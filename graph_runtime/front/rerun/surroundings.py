"""Everything around a request that its result or its warnings may depend on, found without importing torch."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pydantic import JsonValue

from ....nodes.pack import PACK
from ...core.digests import sha256
from ..environment import packages_of_nodes, torch_numerics

_BEGAN = time.time_ns()
_PACKAGE = Path(__file__).resolve().parents[3]
_MOST_FILES = 3000  # of one package of nodes
#: Beginnings of the names of environment variables that libraries read.
_VARIABLES = (
    *("INLAY_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "DIFFUSERS_", "SAFETENSORS_", "TOKENIZERS_", "XDG_"),
    *("TORCH", "PYTORCH", "ATEN_", "OMP_", "KMP_", "GOMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "BLIS_"),
    *("NUMEXPR_", "VECLIB_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "HIP_", "HSA_", "ROCR_", "MPS_"),
)
_SET_BY_LIBRARIES = ("TORCHINDUCTOR_", "KMP_INIT_AT_FORK")  # when they are imported; no result depends on them
_OTHER_VARIABLES = (
    "HOME",
    "USERPROFILE",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "GLIBC_TUNABLES",
    "WORLD_SIZE",
    "LOCAL_RANK",
)
_GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/nvhost*", "/dev/dxg", "/dev/kfd", "/dev/dri/renderD*")
_GPU_TEXTS = ("/proc/driver/nvidia/version", "/proc/driver/nvidia/gpus/*/information")
FRESH = "as it begins"  # torch's settings where nobody has changed them


def surroundings() -> list[JsonValue] | None:
    """The code, the libraries, the machine, and the environment, as data; None if they cannot be told.

    That is so if code of inlay, or of another package of nodes, was changed after this process had begun.
    """
    code = _code()
    if code is None:
        return None
    try:
        folder = os.getcwd()
    except OSError:
        return None
    return [code, _libraries(), _machine(), _variables(), folder, torch_settings()]


def _code() -> JsonValue:
    """Digests of inlay's own code and of the packages that add nodes."""
    rooms = ("graph_runtime", "nodes", "methods", "models", "pictures", "training")
    files = [_PACKAGE / "__init__.py", *(file for room in rooms for file in _python_files(_PACKAGE / room))]
    found = [_digest_of(_PACKAGE, tuple(files))]
    for name, folder in _node_packages():
        others = tuple(_python_files(folder)) if folder is not None else ()
        if not others or len(others) > _MOST_FILES:
            return None
        found += [name, _digest_of(folder or _PACKAGE, others)]
    return None if None in found else [str(one) for one in found]


def _python_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(parent, name) for name in sorted(names) if name.endswith(".py"))


def _digest_of(root: Path, files: tuple[Path, ...]) -> str | None:
    states = [os.stat(file) for file in files]
    if any(max(state.st_mtime_ns, state.st_ctime_ns) > _BEGAN for state in states):
        return None
    return _contents(root, files)


@cache  # files that did not change since the process began
def _contents(root: Path, files: tuple[Path, ...]) -> str:
    return sha256(*(part for file in files for part in (f"{os.path.relpath(file, root)}\0", file.read_bytes(), "\0")))


@cache
def _node_packages() -> tuple[tuple[str, Path | None], ...]:
    """Name, version and folder of each installed package that adds nodes."""
    found = []
    for entry in importlib.metadata.entry_points(group="inlay.nodes"):
        top = find_spec(entry.module.partition(".")[0])  # of a name without dots: nothing is imported
        origin = Path(top.origin) if top is not None and top.origin else None
        folder = origin.parent if origin is not None and origin.name == "__init__.py" else None
        found.append((f"{entry.name} {entry.value} {entry.dist and entry.dist.version}", folder))
    return tuple(found)


@cache
def _libraries() -> list[JsonValue]:
    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    optional = ("pillow-heif", "tokenizers", "opencv-python", "mkl")
    return [sys.version, packages_of_nodes(), *(f"{name} {version(name)}" for name in (*PACK.tested, *optional))]


@cache
def _machine() -> list[JsonValue]:
    """Processor and graphics cards."""
    from glob import glob

    cards = sorted(name for pattern in _GPU_FILES for name in glob(pattern))
    texts = [_text(name) for pattern in _GPU_TEXTS for name in sorted(glob(pattern))]
    driver = Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll")
    windows = [os.stat(driver).st_mtime_ns] if driver.is_file() else []
    processor = [line for line in _text("/proc/cpuinfo").split("\n\n")[0].splitlines() if "MHz" not in line]
    return [platform.platform(), platform.machine(), platform.processor(), *processor, *cards, *texts, *windows]


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _variables() -> list[JsonValue]:
    chosen = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(_VARIABLES) and not name.startswith(_SET_BY_LIBRARIES)) or name in _OTHER_VARIABLES
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [cores, *(f"{name}={value}" for name, value in sorted(chosen.items()))]


_untouched: list[str] = []  # torch's settings as this process found them
_loaded = False


def torch_settings() -> str:
    """torch's settings that bits depend on, if it is imported; `FRESH` as long as they are what they are at first."""
    found = _settings()
    return FRESH if not found or found in _untouched else found


def load_nodes() -> None:
    """Import what a run needs in any case, and note torch's settings where they are as torch begins with."""
    global _loaded
    _loaded = True
    fresh = "torch" not in sys.modules
    import torch  # noqa: F401

    if fresh:
        _untouched.append(_settings())


def nodes_are_loaded() -> bool:
    """True if this process has run something: what it keeps in memory is quicker then than a whole run on disk."""
    return _loaded


def _settings() -> str:
    torch = sys.modules.get("torch")
    if torch is None:
        return ""
    return repr((torch.get_num_threads(), torch_numerics(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
