"""What the editor is told about the machine, the models and the program."""

import importlib.metadata
import sys
from functools import cache

from ....core.errors import clean
from ...cli.local_models import local_models
from ..json_data import Json
from ..service import Service

HOST_VERSION = "0.33.0"  # of the protocol


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def system_stats(service: Service) -> Json:
    """Memory, versions and devices; nothing that names a folder."""
    import psutil

    from ..... import __version__

    memory = psutil.virtual_memory()
    devices = []
    for number, worker in enumerate(service.dispatcher.status()):
        name = str(worker["device"])
        on_processor = name in ("cpu", "auto")
        devices.append(
            {
                "name": name,
                "type": "cpu" if on_processor else name.partition(":")[0],
                "index": number,
                "vram_total": memory.total if on_processor else 0,
                "vram_free": memory.available if on_processor else 0,
                "torch_vram_total": 0,
                "torch_vram_free": 0,
            }
        )
    return {
        "system": {
            "os": sys.platform,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": HOST_VERSION,
            "inlay_version": __version__,
            "required_frontend_version": _version("comfyui-frontend-package"),
            "installed_templates_version": None,
            "required_templates_version": None,
            "comfy_package_versions": [],
            "python_version": sys.version,
            "pytorch_version": _version("torch"),
            "embedded_python": False,
            "deploy_environment": "inlay",
            "argv": [],
        },
        "devices": devices,
    }


_KINDS = ("checkpoints", "diffusion_models", "loras", "vae", "embeddings")


def model_folders() -> list[str]:
    """The kinds of models that the editor may ask for."""
    return list(_KINDS)


def models_in(kind: str) -> list[str] | None:
    """The names of the models of a kind that need no download; None if there is no such kind."""
    if kind not in _KINDS:
        return None
    return [clean(model.name) for model in local_models()] if kind == "checkpoints" else []
