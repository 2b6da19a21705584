"""What nodes are called in a menu, where they stand in it, and the words that find them there.

A node that is not listed is called after its id, and stands under its family.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: Node → its title. Of methods, the name under which people know them.
TITLES: Mapping[str, str] = MappingProxyType(
    {
        "attention.balanced": "Balanced attention, BARET",
        "attention.mutual_self": "Mutual self-attention, MasaCtrl",
        "attention.prompt_to_prompt": "Prompt-to-prompt attention",
        "caption.blip": "Describe picture, BLIP",
        "condition.exemplar": "Condition on an example picture",
        "condition.inpaint": "Condition for inpainting models",
        "condition.text": "Prompt",
        "constraint.null_space": "Inpaint with null space",
        "embed.transition": "Transition of embeddings, BARET",
        "image.paste_back": "Paste back",
        "image.pick": "Pick from a batch",
        "image.stitch": "Stitch patch back",
        "invert.ddim": "DDIM inversion",
        "invert.null_text": "Null-text inversion",
        "invert.target_text": "Target-text inversion, BARET",
        "latent.decode": "VAE decode",
        "latent.encode": "VAE encode",
        "metric.psnr": "Measure PSNR",
        "metric.ssim": "Measure SSIM",
        "metric.lpips": "Measure LPIPS",
        "metric.fid": "Measure FID",
        "model.paint_by_example": "Load Paint by Example",
        "model.pixel_diffusion": "Load pixel diffusion model",
        "model.stable_diffusion": "Load Stable Diffusion",
        "model.fast": "Evaluate faster",
        "model.lora": "Load LoRA",
        "schedule.ddim": "DDIM schedule",
        "schedule.solver": "Solver schedule",
        "train.exemplar": "Train Paint by Example",
        "train.subject_lora": "Train subject LoRA",
    }
)

#: Family → the folder of the menu that its nodes stand in.
FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "caption": "image",
        "model": "models",
        **dict.fromkeys(("latent", "noise", "schedule", "condition", "constraint", "sample"), "sampling"),
        **dict.fromkeys(("invert", "embed", "attention"), "editing"),
        **dict.fromkeys(("subject", "train"), "training"),
        **dict.fromkeys(("metric", "report"), "measuring"),
    }
)

_EDIT = ("edit", "change", "non-rigid edit", "image editing")
_INPAINT = ("inpaint", "inpainting", "remove", "erase", "object removal")
#: Node, or family for all its nodes → words that people look for.
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "attention": _EDIT,
        "embed": _EDIT,
        "invert": (*_EDIT, "inversion", "real image editing"),
        "constraint": _INPAINT,
        "train": ("training", "finetune", "learn"),
        "metric": ("measure", "quality", "compare", "score"),
        "mask": ("mask", "selection"),
        "inpaint": (
            "remove object",
            "object removal",
            "erase",
            "fill",
            "content-aware fill",
            "outpaint",
            "edit",
            "clean up",
        ),
        "attention.balanced": ("baret", "keep pose", "pose edit"),
        "attention.mutual_self": ("masactrl", "mutual self attention", "consistent edit"),
        "attention.prompt_to_prompt": ("p2p", "cross attention control", "replace word"),
        "caption.blip": ("caption", "interrogate", "image to text", "describe"),
        "condition.exemplar": ("reference image", "paint by example", "ip adapter", "exemplar"),
        "condition.inpaint": ("inpaint model conditioning", *_INPAINT),
        "condition.text": ("clip text encode", "positive", "negative", "words"),
        "constraint.null_space": ("ddnm", "zero-shot", "null space", "kakinuma"),
        "constraint.blended": ("blended latent diffusion", "differential diffusion"),
        "constraint.pixel_space": ("seam", "exact pixels"),
        "embed.transition": ("baret", "interpolate embeddings"),
        "image.crop_to_mask": ("inpaint crop", "crop and stitch", "crop mask", "zoom"),
        "image.fill": ("content-aware fill", "patchmatch", "clone", "lama", *_INPAINT),
        "image.fit": ("resize", "pad to multiple", "size"),
        "image.from_mask": ("mask to image", "show mask", "convert mask"),
        "image.from_srgb": ("colour profile", "icc", "color space"),
        "image.grid": ("compare", "contact sheet", "xy plot", "side by side"),
        "image.load": ("load image", "open photo", "read picture"),
        "image.pad": ("outpaint", "extend", "expand canvas", "uncrop"),
        "image.paste_back": ("composite", "blend", "keep unmasked pixels", "uncrop"),
        "image.save": ("save image", "export", "write picture"),
        "image.stitch": ("inpaint stitch", "uncrop", "composite"),
        "image.to_srgb": ("colour profile", "icc", "color space"),
        "image.unfit": ("restore size", "uncrop"),
        "image.with_mask": ("load image", "load mask", "mask editor", "paint mask"),
        "invert.ddim": ("ddim inversion", "encode to noise"),
        "invert.null_text": ("null text inversion", "prompt-to-prompt"),
        "invert.target_text": ("baret", "target text inversion"),
        "latent.decode": ("vae decode", "latent to image"),
        "latent.encode": ("vae encode", "image to latent"),
        "mask.brush": ("random mask", "brush"),
        "mask.channel": ("image to mask", "red", "green", "blue"),
        "mask.colour": ("color mask", "green screen", "chroma key"),
        "mask.combine": ("mask composite", "subtract mask", "intersect", "xor"),
        "mask.crop": ("crop mask",),
        "mask.detect": ("segment", "object detection", "detr", "yolo", "find object", "automatic mask"),
        "mask.exact_colour": ("image color to mask", "chroma key"),
        "mask.fade": ("feather mask", "gradient"),
        "mask.grow": ("expand mask", "dilate", "erode", "feather", "blur mask"),
        "mask.invert": ("invert mask", "reverse", "swap"),
        "mask.load": ("load mask", "alpha"),
        "mask.solid": ("solid mask", "empty mask"),
        "mask.step": ("grow mask", "expand", "erode", "dilate"),
        "mask.threshold": ("binary mask",),
        "mask.to_latent": ("latent mask", "set latent noise mask"),
        "mask.union": ("combine masks", "add masks"),
        "metric.known_region": ("unchanged pixels", "exactness"),
        "metric.psnr": ("psnr", "peak signal to noise"),
        "metric.ssim": ("ssim", "similarity"),
        "model.fast": ("torch compile", "channels last", "deepcache", "speed"),
        "model.lora": ("lora loader", "apply lora"),
        "model.paint_by_example": ("checkpoint", "load model", "exemplar inpaint"),
        "model.stable_diffusion": ("checkpoint", "load model", "sd1.5", "sd2", "diffusers"),
        "noise.gaussian": ("seed", "random noise", "empty latent", "variations"),
        "report.table": ("csv", "markdown", "results"),
        "sample.denoise": ("ksampler", "sampler", "denoise", "img2img", *_INPAINT),
        "schedule.ddim": ("steps", "eta", "scheduler"),
        "schedule.solver": ("euler", "dpm++", "unipc", "pndm", "heun", "scheduler", "sampler select"),
        "subject.photos": ("dataset", "dreambooth", "training images"),
        "train.exemplar": ("paint by example", "inpaint training"),
        "train.subject_lora": ("lora training", "dreambooth", "textual inversion", "subject"),
    }
)
