"""Threads that share a model do not see each other's settings."""

import threading

import torch
from inlay.graph_runtime import Context
from inlay.models.text_encoder import tokenize
from inlay.nodes.latent import encode
from inlay.nodes.model import stable_diffusion
from picture_toys import random_image
from transformers import CLIPTokenizer


def together(jobs):
    """Run jobs at once, each in a thread of its own; the first exception is raised here."""
    errors = []

    def run(job):
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - the test lists it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_a_tokenizer_is_not_changed_by_being_asked(shared_sd):
    """Against transformers' own tokenizer of the same folder."""
    tokenizer = stable_diffusion(str(shared_sd)).text_encoder.read_tokenizer()
    other = CLIPTokenizer.from_pretrained(shared_sd / "tokenizer")
    words = ["a", "a b c d", "a b c d e f g h i j k l"]
    want = [other(word, truncation=True, max_length=8).input_ids for word in words]
    settings = []

    def job():
        for _ in range(50):
            assert [tokenize(tokenizer, word, 8)[0] for word in words] == want
            settings.append((tokenizer.backend.padding, tokenizer.backend.truncation))

    together([job] * 4)
    assert set(settings) == {(None, None)}


def test_tiling_of_one_thread_is_not_that_of_another(shared_sd, tmp_path):
    vae, image = stable_diffusion(str(shared_sd)).vae, random_image(1, 96, 96)
    ctx = Context(out=tmp_path)
    want = {tiling: encode(image, vae, ctx, tiling=tiling).latent for tiling in ("on", "off")}
    assert not torch.equal(want["on"], want["off"])

    def job(tiling):
        for _ in range(4):
            assert torch.equal(encode(image, vae, ctx, tiling=tiling).latent, want[tiling])

    together([lambda: job("on"), lambda: job("off")])
