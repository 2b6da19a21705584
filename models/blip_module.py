"""A BLIP with its tokenizer, as a module."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..graph_runtime import BadInput
from .config import Arguments
from .tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration


class CaptionModule(nn.Module):
    """A BLIP with its tokenizer."""

    def __init__(self, model: "BlipForConditionalGeneration", tokenizer: Tokenizer) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    @torch.no_grad()
    def say(self, pixels: Tensor, prompt: str, longest: int, beams: int) -> str:
        """The caption of a picture `[1 3 s s]`, which begins with `prompt`; beam search, so always the same.

        Raises:
            BadInput: the prompt is longer than the captions that the model can write.
        """
        inputs: Arguments = {}
        room = self.model.text_decoder.config.max_position_embeddings - 1  # the first token begins the caption
        if prompt:
            tokens = self.tokenizer.tokens(prompt)
            room -= len(tokens) - 2
            if room < 1:
                raise BadInput(
                    "prompt",
                    found=f"{len(tokens)} tokens",
                    expected=f"fewer than {len(tokens) + room}, as the captioner can write",
                    fix="shorten it",
                )
            inputs["input_ids"] = torch.tensor([tokens], device=pixels.device)
        found = self.model.generate(
            pixel_values=pixels, max_new_tokens=min(longest, room), num_beams=beams, do_sample=False, **inputs
        )
        return self.tokenizer.text(found[0].tolist(), skip_special=True).strip()
