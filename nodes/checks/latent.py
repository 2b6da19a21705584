"""What is wrong with latents and noise, known before a run from shapes, files' headers and models' configurations.

Each function is the check hook of one node, or what hook and node both ask for (see `before_run.py`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Float, Tensor
from ...graph_runtime.core.port_types import is_of
from ...graph_runtime.core.values import describe, plain
from ...methods.sampling.noise import GivenNoise
from ...models.files.tensors import keys_of, tensor_shapes
from ...models.protocols import VaeDescription
from .before_run import Facts, Known, Params, described, shaped


def encode(known: Known, params: Params) -> Facts:
    """Sides that are no multiple of the VAE's factor; the latent's shape."""
    image, vae = known.get("image"), known.get("vae")
    if image is None or not described(vae):
        return {}
    require_multiple(image, vae)
    return {
        "latent": shaped(len(image), vae.latent_channels, image.shape[1] // vae.factor, image.shape[2] // vae.factor)
    }


def require_multiple(image: Tensor, vae: VaeDescription) -> None:
    """Raise BadInput unless both sides of a picture are multiples of the VAE's factor."""
    height, width = image.shape[1:3]
    if height % vae.factor or width % vae.factor:
        raise BadInput(
            "image",
            found=f"{width}×{height} pixels",
            expected=f"sides that are multiples of {vae.factor}",
            fix=f"put image.fit with multiple={vae.factor} before this node and image.unfit at the end",
        )


def decode(known: Known, params: Params) -> Facts:
    """Channels that the VAE has not; the picture's size."""
    latent, vae = known.get("latent"), known.get("vae")
    if latent is None or not described(vae):
        return {}
    require_channels(latent, vae)
    return {"image": shaped(len(latent), latent.shape[2] * vae.factor, latent.shape[3] * vae.factor, 3)}


def require_channels(latent: Tensor, vae: VaeDescription) -> None:
    """Raise BadInput unless a latent has as many channels as the VAE."""
    if latent.shape[1] != vae.latent_channels:
        raise BadInput(
            "latent",
            found=f"{latent.shape[1]} channels",
            expected=f"{vae.latent_channels}, as the {vae.label} has",
            fix="decode with the VAE of the model that sampled",
        )


def load(known: Known, params: Params) -> Facts:
    """A key that is not in the file, or another shape than a latent's."""
    file, key = Path(params["path"]), params["key"]
    tensors = tensor_shapes(file, [key], "path")
    if tensors is None:
        return {}
    require_key(key, tensors, file)
    return {"latent": require_latent_shape(tensors[key])}


def require_latent_shape(tensor: Tensor) -> Tensor:
    """A tensor of a file, out of any inference mode, if it has a latent's shape; raises BadInput otherwise."""
    if not is_of(tensor, Float[Tensor, "b c lh lw"]):
        raise BadInput(
            "path",
            found=describe(tensor),
            expected="a latent [b, c, lh, lw], floating point",
            fix="set key to the name of a latent, or load a file of latent.save",
        )
    return plain(tensor)


def require_key(key: str, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise BadInput where a file does not hold a tensor of that name."""
    if key not in tensors:
        raise BadInput(
            "key",
            found=f"no {key!r} in {file.name}",
            expected=f"one of {', '.join(keys_of(file))}",
            fix="set key to the tensor's name",
        )


def save(known: Known, params: Params) -> Facts:
    """What is saved goes on as it is."""
    latent = known.get("latent")
    return {} if latent is None else {"latent": latent}


def load_noise(known: Known, params: Params) -> Facts:
    """A file with none of the keys, or tensors of other axes."""
    file = Path(params["path"])
    keys = params["start"], params["steps"], params["posterior"]
    tensors = tensor_shapes(file, keys, "path")
    return {} if tensors is None else {"noise": given_noise(file, tensors, keys)}


def given_noise(file: Path, tensors: Mapping[str, Tensor], keys: Sequence[str]) -> GivenNoise:
    """The noise that a file holds under `keys`: start, steps, posterior.

    Raises:
        BadInput: it holds none of them, or one with another number of axes.
    """
    start, steps, posterior = keys
    if not tensors:
        raise BadInput(
            "path",
            found=f"{file.name} with none of {', '.join(map(repr, keys))}",
            expected="noise under these keys",
            fix="name the file's own keys with start, steps and posterior",
        )
    for key, axes in ((start, 4), (steps, 5), (posterior, 4)):
        if key in tensors and tensors[key].ndim != axes:
            raise BadInput(
                "path",
                found=f"{key!r} of shape {list(tensors[key].shape)}",
                expected=f"{axes} axes",
                fix="save start and posterior as [b, c, lh, lw], steps as [steps, b, c, lh, lw]",
            )
    return GivenNoise(
        tensors.get(start), tensors.get(steps), tensors.get(posterior), name=file.name, keys=(start, steps, posterior)
    )
