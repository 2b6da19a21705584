"""Our models as the host's own: built by its loaders from the tensors of our files."""

from .....nodes.given import holder_of, prediction_of, weights_of
from ....core.errors import BadInput
from .modules import HostObject, ask, host_module


def to_model(denoiser: HostObject) -> object:
    """The host's MODEL of our denoiser; one that came from the host goes back as it came.

    Raises:
        BadInput: the host does not know this layout, or a LoRA is on it.
        ModelError: a file is missing or damaged.
    """
    if (held := holder_of(denoiser)) is not None:
        return held.owner  # type: ignore[attr-defined]
    weights = weights_of(denoiser, "denoiser")
    model: HostObject = _built("denoiser", denoiser, "load_diffusion_model_state_dict", weights)
    wanted, bases = prediction_of(denoiser), host_module("comfy.model_base")
    kinds = getattr(bases, "ModelType", None)
    kind = getattr(kinds, {"epsilon": "EPS", "v_prediction": "V_PREDICTION"}.get(wanted, ""), None)
    if kind is None:
        raise BadInput(
            "denoiser",
            found=f"{denoiser.label}, which predicts {wanted}",
            expected="one that predicts noise or v",
            fix="sample with our nodes",
        )
    if model.model.model_type != kind:
        model = model.clone()
        sampling = ask("comfy.model_base", "model_sampling", model.model.model_config, kind)
        model.add_object_patch("model_sampling", sampling)
    return model


def to_vae(vae: HostObject) -> object:
    """The host's VAE of ours.

    Raises:
        BadInput: it has no weights, or the host does not know its layout.
        ModelError: a file is missing or damaged.
    """
    if (held := holder_of(vae)) is not None:
        return held.owner  # type: ignore[attr-defined]
    if not hasattr(vae, "origin"):
        raise BadInput("vae", found=vae.label, expected="an AutoencoderKL", fix="connect the VAE of another model")
    weights = weights_of(vae, "vae")
    channels = list(vae.config.get("block_out_channels", ()))
    if channels != [128, 256, 512, 512]:
        raise _unknown("vae", vae, f"block_out_channels {channels}")
    build = getattr(host_module("comfy.sd"), "VAE", None)
    assert build is not None, "bridges run inside the host"
    made: object = build(sd=weights)
    return made


def to_clip(text_encoder: HostObject) -> object:
    """The host's CLIP of our text encoder.

    Raises:
        BadInput: the host does not know its layout.
        ModelError: a file is missing or damaged.
    """
    if (held := holder_of(text_encoder)) is not None:
        return held.owner  # type: ignore[attr-defined]
    if text_encoder.hidden_size not in (768, 1024):
        raise _unknown("text_encoder", text_encoder, f"width {text_encoder.hidden_size}")
    weights = weights_of(text_encoder, "text_encoder")
    embeddings = ask("folder_paths", "get_folder_paths", "embeddings")
    return _built("text_encoder", text_encoder, "load_text_encoder_state_dicts", [weights], embeddings)


def _built(port: str, described: HostObject, loader: str, *arguments: object) -> object:
    try:
        found: object = ask("comfy.sd", loader, *arguments)
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:  # its loaders refuse in several ways
        raise _unknown(
            port, described, str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        ) from error
    if found is None:
        raise _unknown(port, described, "its loader knows no such model")
    return found


def _unknown(port: str, described: HostObject, why: str) -> BadInput:
    return BadInput(
        port,
        found=f"{described.label}, a layout that ComfyUI does not know ({why})",
        expected="Stable Diffusion 1.x or 2.x in its usual size",
        fix="use such a model, or stay with our nodes: they take any size",
    )
