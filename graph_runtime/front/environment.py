"""The environment that the bits of a result depend on: library versions, device, threads, settings of torch."""

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path

from ...nodes.pack import PACK
from ..core.digests import sha256

#: Beginnings of the names of environment variables by which numeric libraries choose other kernels.
_VARIABLES = ("ATEN_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "BLIS_", "CUBLAS_", "CUDNN_", "NVIDIA_TF32", "GLIBC_T")
_TORCH_VARIABLES = ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_CUDNN_V8_API_DISABLED", "TORCH_BLAS_PREFER_CUBLASLT")
_THREADS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")  # their effect is the number of threads
_OF_A_PROCESSOR = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")


def _processor() -> str:
    """The processor, and the kernels that torch picks for it."""
    import torch

    return f"{_name_of_processor()} {torch.backends.cpu.get_cpu_capability()}"


@cache
def _name_of_processor() -> str:
    """System and processor: Python does not always know the model, by which mathematical libraries choose kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    name = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kind = sha256(*(line for line in lines if line.startswith(_OF_A_PROCESSOR)))[:8]
    return " ".join([platform.system(), *platform.libc_ver(), platform.machine(), platform.processor(), *name, kind])


def torch_numerics() -> str:
    """The settings of torch that its numbers depend on, besides the number of threads."""
    import torch

    backends = torch.backends
    found = {
        "default dtype": torch.get_default_dtype(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (backends.cudnn.allow_tf32, backends.cudnn.benchmark, backends.cudnn.deterministic),
        "mkldnn": (backends.mkldnn.is_available(), getattr(backends.mkldnn, "enabled", None)),
    }
    return ", ".join(f"{name} {value}" for name, value in found.items())


@cache
def packages_of_nodes() -> str:
    """All installed packages, if one of them adds nodes: its results may depend on any that it imports."""
    if not importlib.metadata.entry_points(group="inlay.nodes"):
        return "none"
    found = {f"{package.name} {package.version}" for package in importlib.metadata.distributions()}
    return sha256(*(f"{name}\0" for name in sorted(found)))[:16]


def _numeric_variables() -> str:
    chosen = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if (name.startswith(_VARIABLES) or name in _TORCH_VARIABLES) and name not in _THREADS
    )
    return " ".join(chosen) or "none"


@cache  # reading package metadata takes some milliseconds
def _versions() -> dict[str, str]:
    return {f"the version of {package}": importlib.metadata.version(package) for package in PACK.computing}


def environment(device: str) -> str:
    """Everything outside a workflow that the bits of a result may depend on, as one line of text."""
    return "|".join(environment_parts(device).values())


def environment_parts(device: str) -> dict[str, str]:
    """The parts of the environment, by what they are called in messages."""
    import torch

    from ... import __version__

    return {
        "the version of inlay": __version__,
        "the version of torch": torch.__version__,
        **_versions(),
        "the device": device.partition(":")[0],  # which of several that are alike makes no difference
        "the processor": torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        "the number of threads": str(torch.get_num_threads()),
        "torch's settings": torch_numerics(),
        "what is installed beside packages of nodes": packages_of_nodes(),
        "environment variables of numeric libraries": _numeric_variables(),
    }
