"""Compiled modules: `torch.compile` of a copy that shares the weights, once for each size that it is called with.

The copy has processors and hooks of its own, so what other runs install on the module never reaches the compiled code,
and nothing of it stays on the module. Each size is compiled for itself (`dynamic=False`): code for any size would make
results depend on which size came first. Torch keeps what it generates below inlay's home, for other processes too.
"""

import copy
import os
import shutil
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal, cast

from ..errors import ModelError, first_line
from ..light.later import Tensor, nn, torch
from ..out_of_memory import is_out_of_memory
from ..processors import attentions, original_processors
from ..user_paths import home
from .streaming import is_streamed

Mode = Literal["kernels", "cuda_graphs"]

KEPT = "_inlay_compiled"  # where a module keeps its compiled copies
CACHE_DIR = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps what it generates; a value of the user's own is left alone
MOST_SIZES = 1024  # of all models together; torch's own limit of 8 would fall back without a word
BACKEND = "inductor"  # of torch.compile
_COMPILING = threading.RLock()


class _Compiled(dict[str, "Compiled"]):
    """The compiled copies of a module by mode; a copy of the module begins without any."""

    def __deepcopy__(self, memo: object) -> "_Compiled":
        return _Compiled()


class Compiled:
    """A module as compiled code."""

    TIMED = ("forward", "compile")  # what a profile times

    def __init__(self, module: nn.Module, mode: Mode) -> None:
        self.mode = mode
        self._sizes: set[tuple[object, ...]] = set()
        self._copy = _sharing(module)
        how = {"mode": "reduce-overhead"} if mode == "cuda_graphs" else {}
        self._call = torch.compile(self._copy, dynamic=False, backend=BACKEND, **how)  # type: ignore[call-overload]

    def knows(self, *args: Tensor, **named: Tensor) -> bool:
        """True if it was compiled for such tensors already."""
        return _size(args, named) in self._sizes

    def compile(self, *args: Tensor, **named: Tensor) -> None:
        """Compile for tensors of these sizes, which takes from seconds to minutes.

        Raises:
            ModelError: torch cannot compile it here; says why.
        """
        with _COMPILING, _kept_in(kept_folder()):
            try:
                self._called(args, named)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise ModelError(
                    None,
                    found=f"torch.compile failed: {_said(error)}",
                    expected="code for this model and device",
                    fix="leave compile out; if a compiler is missing or broken, mend that first",
                ) from error
            self._sizes.add(_size(args, named))

    def forward(self, *args: Tensor, **named: Tensor) -> Tensor:
        """The module's first output for tensors of a size that `compile` has seen."""
        output = self._called(args, named)
        return output.clone() if self.mode == "cuda_graphs" else output  # the next call overwrites it

    def _called(self, args: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> Tensor:
        from torch import _dynamo as dynamo
        from torch.utils._python_dispatch import _disable_current_modes

        limit = "recompile_limit" if hasattr(dynamo.config, "recompile_limit") else "cache_size_limit"
        if self.mode == "cuda_graphs":
            torch.compiler.cudagraph_mark_step_begin()
        with (
            _disable_current_modes(),  # what counts memory sees tensors, and would become a part of the code
            dynamo.config.patch({limit: MOST_SIZES}),
        ):
            return cast(Tensor, self._call(*args, return_dict=False, **named)[0])


def compiled(module: nn.Module, mode: Mode) -> Compiled | None:
    """The compiled copy of a module, which the module keeps; None for one whose weights are streamed."""
    if is_streamed(module):
        return None
    with _COMPILING:
        kept = module.__dict__.setdefault(KEPT, _Compiled())
        if mode not in kept:
            kept[mode] = Compiled(module, mode)
        return cast(Compiled, kept[mode])


def size_of_kept() -> int:
    """Bytes of what torch keeps below inlay's home."""
    return sum(_sizes(kept_folder()))


def clear_kept() -> int:
    """Remove it; what is in use or may not be removed stays.

    Returns:
        How many bytes that freed.
    """
    folder = kept_folder()
    before = sum(_sizes(folder))
    if folder.is_symlink():  # the user's own place
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    return before - sum(_sizes(folder))


def kept_folder() -> Path:
    """Where torch keeps what it generates, unless the user has named another place."""
    return home() / "compiled"


def _sizes(folder: Path) -> Iterator[int]:
    """Of the files in a folder; a link counts as itself, and what disappears meanwhile as nothing."""
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield os.lstat(os.path.join(where, name)).st_size


def why_not(mode: Mode, device: str) -> tuple[str, str] | None:
    """Why nothing can be compiled here for a device, and how to mend it; None if it can."""
    kind = device.partition(":")[0]
    if mode == "cuda_graphs" and kind != "cuda":
        return f"CUDA graphs on {device}", "use them with an NVIDIA GPU, or compile alone"
    if kind not in ("cpu", "cuda"):
        return f"torch.compile on {device}, for which it is not finished", "leave compile out, or use --device cpu"
    from torch import _dynamo as dynamo

    try:
        dynamo.eval_frame.check_if_dynamo_supported()
    except RuntimeError as error:
        return f"torch.compile does not work here: {first_line(error)}", "leave compile out, or use another Python"
    return _why_not_on_cpu() if kind == "cpu" else _why_not_on_cuda()


def _why_not_on_cpu() -> tuple[str, str] | None:
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", usual)  # as torch chooses it; whether it works shows when it is used
    if shutil.which(compiler) is None:
        return f"no C++ compiler {compiler!r}", _install()
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "no header files of Python, which the C++ compiler needs", "install python3-dev (python3-devel)"
    return None


def _why_not_on_cuda() -> tuple[str, str] | None:
    from torch.utils._triton import has_triton_package

    if not has_triton_package():
        name = "triton-windows" if sys.platform == "win32" else "triton"
        return "no Triton, with which torch compiles for CUDA", f"pip install {name}"
    if sys.platform != "win32" and not any(map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))):
        return "no C compiler, which Triton needs", _install()
    return None


def _install() -> str:
    if sys.platform == "win32":
        return "install the Build Tools of Visual Studio and start inlay from their prompt, or leave compile out"
    if sys.platform == "darwin":
        return "run xcode-select --install, or leave compile out"
    return "install g++ (build-essential), or leave compile out"


def _said(error: Exception) -> str:
    """What went wrong, rather than where torch noticed it."""
    cause = getattr(error, "inner_exception", None) or error.__cause__ or error
    return f"{type(cause).__name__}: {first_line(cause)}"


def _sharing(module: nn.Module) -> nn.Module:
    """A copy that shares every weight, with the processors of a module that no run has changed."""
    shared: dict[int, object] = {id(value): value for value in [*module.parameters(), *module.buffers()]}
    shared |= {
        id(kept): {} for name, kept in vars(module).items() if name.startswith("_inlay_") and isinstance(kept, dict)
    }
    with original_processors(module) as processors:
        shared |= {id(one.processor): processors[name] for name, one in attentions(module)}
        made = copy.deepcopy(module, shared)
    for part in made.modules():
        for entry in ("forward", "encode", "decode"):  # a profile puts functions of its own there
            part.__dict__.pop(entry, None)
    return made


def _size(args: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> tuple[object, ...]:
    return tuple((tuple(one.shape), one.dtype, str(one.device)) for one in (*args, *named.values()))


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """In the block, torch keeps what it generates in a folder, unless the user has named another.

    Torch's import of its compiler sets the variable itself, to a folder for temporary files; that is nobody's choice.
    """
    from torch._inductor import codecache
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    before = os.environ.get(CACHE_DIR)
    own = before is None or Path(before).name == Path(default_cache_dir()).name
    headers = folder / "precompiled_headers"  # torch would keep them in the same folder for temporary files
    with ExitStack() as stack:
        if own:
            stack.callback(_restore, before)
            os.environ[CACHE_DIR] = str(folder)
            for name, place in (("_HEADER_DIR", headers), ("_HEADER_LOCK_DIR", headers / "locks")):
                if hasattr(codecache, name):
                    stack.callback(setattr, codecache, name, getattr(codecache, name))
                    setattr(codecache, name, str(place))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module="torch.*")  # of its compiler, about itself
        yield


def _restore(value: str | None) -> None:
    os.environ.pop(CACHE_DIR, None)
    if value is not None:
        os.environ[CACHE_DIR] = value
