"""The types that travel between nodes, by name: a module is imported when one of its values meets a socket."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..methods.attention.control import AttentionControl
    from ..methods.conditioning import Conditioning
    from ..methods.inversion.ddim import Trajectory
    from ..methods.inversion.tuning import Tuned
    from ..methods.sampling.constraints import Constraint
    from ..methods.sampling.guidance import Tuning
    from ..methods.sampling.noise import Noise
    from ..methods.sampling.schedule import Schedule
    from ..models.detr.detections import Detection
    from ..models.lora.source import LoraSource
    from ..pictures.files.profile import PictureProfile
    from ..pictures.fit import Fitting
    from ..pictures.photos.photo import PhotoSet
    from ..pictures.windows import Window
else:
    from ..graph_runtime.core.light.later import later_class

    def _of(module: str, name: str) -> type:
        return later_class(f"{__package__.rpartition('.')[0]}.{module}", name)

    AttentionControl = _of("methods.attention.control", "AttentionControl")
    Conditioning = _of("methods.conditioning", "Conditioning")
    Constraint = _of("methods.sampling.constraints", "Constraint")
    Detection = _of("models.detr.detections", "Detection")
    Fitting = _of("pictures.fit", "Fitting")
    LoraSource = _of("models.lora.source", "LoraSource")
    Noise = _of("methods.sampling.noise", "Noise")
    PhotoSet = _of("pictures.photos.photo", "PhotoSet")
    PictureProfile = _of("pictures.files.profile", "PictureProfile")
    Schedule = _of("methods.sampling.schedule", "Schedule")
    Trajectory = _of("methods.inversion.ddim", "Trajectory")
    Tuned = _of("methods.inversion.tuning", "Tuned")
    Tuning = _of("methods.sampling.guidance", "Tuning")
    Window = _of("pictures.windows", "Window")

__all__ = [
    "AttentionControl",
    "Conditioning",
    "Constraint",
    "Detection",
    "Fitting",
    "LoraSource",
    "Noise",
    "PhotoSet",
    "PictureProfile",
    "Schedule",
    "Trajectory",
    "Tuned",
    "Tuning",
    "Window",
]
