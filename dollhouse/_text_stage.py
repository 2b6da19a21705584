"""Stage text: the text encoder first learns to read attributes from captions, so that conditioning works early."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ._draw_stage import training_scene
from ._loop import Plan, fit
from ._words import MAX_TOKENS
from .world import LABELS, PHRASES, SUBJECT_COLOURS, WALL_COLOURS, caption

WIDTH = 160


def text_encoder(tokenizer: CLIPTokenizer, width: int = WIDTH) -> CLIPTextModel:
    """An untrained CLIP text model of two layers for this tokenizer."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=width // 32,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """n texts -> n × 32 ids, int64, padded and cut as StableDiffusionPipeline does."""
    return tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt").input_ids


def caption_ids(tokenizer: CLIPTokenizer, count: int) -> Tensor:
    """All paraphrases of the first `count` training pictures: count × PHRASES × 32, int64."""
    texts = [caption(training_scene(i), phrase) for i in range(count) for phrase in range(PHRASES)]
    return token_ids(tokenizer, texts).reshape(count, PHRASES, MAX_TOKENS)


class _Reader(nn.Module):
    """The encoder with three linear heads on the mean of its tokens: label, colour and wall."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.heads = nn.ModuleList(nn.Linear(width, len(names)) for names in (LABELS, SUBJECT_COLOURS, WALL_COLOURS))

    def forward(self, ids: Tensor) -> list[Tensor]:
        tokens = self.encoder(ids).last_hidden_state.mean(dim=1)
        return [head(tokens) for head in self.heads]


def train_text(
    work: Path, tokenizer: CLIPTokenizer, device: torch.device, *, steps: int = 300, batch: int = 64
) -> CLIPTextModel:
    """Train a new text encoder to name label, colour and wall of the first scenes from their captions."""
    torch.manual_seed(2)
    model = _Reader(text_encoder(tokenizer)).to(device)
    scenes = [training_scene(i) for i in range(4000)]
    # The last paraphrase does not name the wall.
    ids = caption_ids(tokenizer, len(scenes))[:, :-1]
    truth = torch.tensor(
        [
            [LABELS.index(s.label), list(SUBJECT_COLOURS).index(s.colour), list(WALL_COLOURS).index(s.wall)]
            for s in scenes
        ]
    )

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(scenes), (batch,), generator=generator)
        phrases = torch.randint(ids.shape[1], (batch,), generator=generator)
        guesses = module(ids[rows, phrases].to(device))
        wanted = truth[rows].to(device)
        return sum(nn.functional.cross_entropy(guess, wanted[:, i]) for i, guess in enumerate(guesses))

    plan = Plan("text", steps, learning_rate=1e-3, warmup=50)
    model.load_state_dict(fit(plan, work, model, loss_of, device=device))
    return model.encoder
