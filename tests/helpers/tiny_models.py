"""Tiny random models in the layout of diffusers."""

import json
from pathlib import Path

import torch


class Tiny:
    """Makes small models in the layout that diffusers saves: milliseconds, deterministic, real tokenizer files."""

    def __init__(self, root: Path):
        self.root = root

    def unet(self, seed=0, **changes):
        from diffusers import UNet2DConditionModel

        torch.manual_seed(seed)
        config = dict(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        return UNet2DConditionModel(**{**config, **changes}).eval()

    def vae(self, seed=1, levels=4, **changes):
        from diffusers import AutoencoderKL

        torch.manual_seed(seed)
        config = dict(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            sample_size=64,
            layers_per_block=1,
            block_out_channels=(8,) * levels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            norm_num_groups=4,
            scaling_factor=0.6,
        )
        return AutoencoderKL(**{**config, **changes}).eval()

    def text_encoder(self, seed=2, **changes):
        from transformers import CLIPTextConfig, CLIPTextModel

        torch.manual_seed(seed)
        config = dict(
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=64,
            max_position_embeddings=12,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
        return CLIPTextModel(CLIPTextConfig(**{**config, **changes})).eval()

    def save_tokenizer(self, folder):
        """A real CLIP byte-pair tokenizer over the letters a … l with two merges."""
        folder.mkdir(parents=True, exist_ok=True)
        letters = "abcdefghijkl"
        words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
        words += ["ab", "abc</w>"]
        (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
        (folder / "merges.txt").write_text("#version: 0.2\na b\nab c</w>\n")
        (folder / "tokenizer_config.json").write_text(
            json.dumps(
                {
                    "model_max_length": 12,
                    "tokenizer_class": "CLIPTokenizer",
                    "pad_token": "<|endoftext|>",
                    "bos_token": "<|startoftext|>",
                    "eos_token": "<|endoftext|>",
                    "unk_token": "<|endoftext|>",
                }
            )
        )

    def scheduler(self, **changes):
        from diffusers import DDIMScheduler

        config = dict(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )
        return DDIMScheduler(**{**config, **changes})

    def stable_diffusion(self, name="sd", *, unet=None, vae=None, text=None, scheduler=None):
        """A complete pipeline folder; a new one for each call, so tests may damage it."""
        folder = self.root / name
        self.unet(**(unet or {})).save_pretrained(folder / "unet")
        self.vae(**(vae or {})).save_pretrained(folder / "vae")
        self.text_encoder(**(text or {})).save_pretrained(folder / "text_encoder")
        self.save_tokenizer(folder / "tokenizer")
        self.scheduler(**(scheduler or {})).save_pretrained(folder / "scheduler")
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
        return folder

    def exemplar_encoder(self, seed=3, proj_size=24, **changes):
        """diffusers' own PaintByExampleImageEncoder, five layers deep, so that its mapper has one block."""
        from moved import PaintByExampleImageEncoder
        from transformers import CLIPVisionConfig

        torch.manual_seed(seed)
        config = dict(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
            projection_dim=proj_size,
        )
        return PaintByExampleImageEncoder(CLIPVisionConfig(**{**config, **changes}), proj_size=proj_size).eval()

    def paint_by_example(self, name="pbe", *, unet=None, vae=None, encoder=None, scheduler=None, published=False):
        """A Paint-by-Example folder; `published` writes the encoder's keys as the hub's repository has them."""
        from safetensors.torch import load_file, save_file

        folder = self.root / name
        self.unet(**{"in_channels": 9, **(unet or {})}).save_pretrained(folder / "unet")
        self.vae(**(vae or {})).save_pretrained(folder / "vae")
        self.exemplar_encoder(**(encoder or {})).save_pretrained(folder / "image_encoder")
        self.scheduler(**(scheduler or {})).save_pretrained(folder / "scheduler")
        side = 16
        (folder / "feature_extractor").mkdir()
        (folder / "feature_extractor" / "preprocessor_config.json").write_text(
            json.dumps(
                {
                    "crop_size": {"height": side, "width": side},
                    "size": {"shortest_edge": side},
                    "image_mean": [0.48145466, 0.4578275, 0.40821073],
                    "image_std": [0.26862954, 0.26130258, 0.27577711],
                }
            )
        )
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "PaintByExamplePipeline"}))
        path = folder / "image_encoder" / "model.safetensors"
        stored = load_file(str(path))
        long = {
            key
            if not key.startswith("model.") or key.startswith("model.vision_model.")
            else key.replace("model.", "model.vision_model.", 1): value
            for key, value in stored.items()
        }
        short = {key.replace("model.vision_model.", "model."): value for key, value in stored.items()}
        save_file(long if published else short, str(path), {"format": "pt"})
        return folder

    def detector(self, name="detr", *, seed=6, labels=("sofa", "lamp", "N/A", "bird"), size=64, **changes):
        """A DETR folder as transformers writes it: random, with statistics in its norms that are not 0 and 1."""
        from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

        torch.manual_seed(seed)
        backbone = ResNetConfig(
            embedding_size=8,
            hidden_sizes=[16, 16, 32, 32],
            depths=[1, 1, 2, 1],
            layer_type="bottleneck",
            out_features=["stage4"],
        )
        config = dict(
            d_model=16,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_attention_heads=2,
            decoder_ffn_dim=16,
            num_queries=7,
            init_xavier_std=3.0,
        )
        without_timm = dict(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None)
        module = DetrForObjectDetection(
            DetrConfig(
                backbone_config=backbone, id2label=dict(enumerate(labels)), **without_timm, **{**config, **changes}
            )
        ).eval()
        for key, value in module.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.2)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif "query_position" in key or "classifier.weight" in key or "bbox_predictor" in key:
                value.normal_(0, 1)
        folder = self.root / name
        module.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        for key in without_timm:  # as transformers 5 writes it
            config.pop(key, None)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "preprocessor_config.json").write_text(
            json.dumps(
                {
                    "do_normalize": True,
                    "do_resize": True,
                    "image_mean": [0.485, 0.456, 0.406],
                    "image_std": [0.229, 0.224, 0.225],
                    "size": size,
                    "max_size": 3 * size // 2,
                }
            )
        )
        return folder

    def pixel(self, name="pixel", *, flat=False, scheduler=None, **changes):
        """An unconditional pixel model: unet/ and scheduler/, or both at the top."""
        from diffusers import DDPMScheduler, UNet2DModel

        torch.manual_seed(5)
        config = dict(
            sample_size=8,
            in_channels=3,
            out_channels=3,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            attention_head_dim=4,
        )
        folder = self.root / name
        UNet2DModel(**{**config, **changes}).save_pretrained(folder if flat else folder / "unet")
        DDPMScheduler(**(scheduler or {})).save_pretrained(folder if flat else folder / "scheduler")
        return folder
