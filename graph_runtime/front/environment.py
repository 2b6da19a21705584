"""The environment that the bits of a result depend on: library versions, device, threads."""

import importlib.metadata
import platform

from ...nodes.pack import PACK


def _processor() -> str:
    """The name of the processor, which Linux does not always give, and the kernels that torch picks for it."""
    import torch

    return f"{platform.machine()} {platform.processor()} {torch.backends.cpu.get_cpu_capability()}"


def environment(device: str) -> str:
    """Everything outside a workflow that the bits of a result may depend on, as one line of text."""
    return "|".join(environment_parts(device).values())


def environment_parts(device: str) -> dict[str, str]:
    """The parts of the environment, by what they are called in messages."""
    import torch

    from ... import __version__

    versions = {f"the version of {package}": importlib.metadata.version(package) for package in PACK.computing}
    return {
        "the version of inlay": __version__,
        "the version of torch": torch.__version__,
        **versions,
        "the device": device,
        "the processor": torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        "the number of threads": str(torch.get_num_threads()),
    }
