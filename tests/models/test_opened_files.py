"""Which files of a model's folder are opened, as strace tells it: those that the model is made from, and no others."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from ways_to_load import MAKERS, WAYS

UNET = {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"}
WHOLE = UNET | {
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "model_index.json",  # for warnings alone
}
WORDS = {"tokenizer_config.json", "vocab.json", "merges.txt"}
ALONE = {"config.json", "model.safetensors"}
#: Whose folder -> the files in it that may be opened, and must be.
OPENED = {
    "sd": WHOLE | {"text_encoder/config.json", "text_encoder/model.safetensors"} | {f"tokenizer/{w}" for w in WORDS},
    "pixel": UNET | {"scheduler/scheduler_config.json"},
    "file": {"model.safetensors"} | {f"tokenizer/{word}" for word in WORDS},
    "pbe": WHOLE
    | {"image_encoder/config.json", "image_encoder/model.safetensors", "feature_extractor/preprocessor_config.json"},
    "detr": ALONE | {"preprocessor_config.json"},
    "clip": ALONE | WORDS,
    "dino": ALONE,
    "captioner": ALONE | {"tokenizer_config.json", "tokenizer.json"},
}
STRAY = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "x.bin",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
    "modeling.py",
    "generation_config.json",
    "model.safetensors.index.fp16.json",
)
CODE = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from ways_to_load import WAYS
for name in sys.argv[4:]:
    module = WAYS[name][1](Path(sys.argv[3]) / WAYS[name][0]).load("cpu")
"""
OPEN = re.compile(r"(?:^|\s)open(?:at2?)?\((.*)\) = \d+<(.*)>$")


@pytest.mark.strace
def test_strace_sees_that_only_the_files_of_a_model_are_opened(tiny_at, tmp_path):
    assert shutil.which("strace"), "install strace (.ci/strace-test does)"
    root = tmp_path / "models"
    root.mkdir()
    for maker, make in MAKERS.items():
        made = make(tiny_at(tmp_path / maker))
        shutil.copytree(made, root / maker)
        for folder in [root / maker, *(path for path in (root / maker).iterdir() if path.is_dir())]:
            for name in STRAY:
                (folder / name).write_bytes(b"\x80\x02rubbish")
    log, helpers = tmp_path / "strace.log", os.path.dirname(os.path.abspath(sys.modules["ways_to_load"].__file__))
    strace = ("strace", "-f", "-y", "-z", "-s", "4096", "-e", "trace=%file,connect,socket", "-o", str(log))
    done = subprocess.run(
        [*strace, sys.executable, "-c", CODE, helpers, helpers, str(root), *WAYS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "INLAY_HOME": str(tmp_path / "home"), "INLAY_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="surrogateescape").splitlines()
    opened = {
        match[2]
        for line in lines
        if (match := OPEN.search(line)) and "O_PATH" not in match[1] and os.path.isfile(match[2])
    }
    seen = {maker: {p[len(at) :] for p in opened if p.startswith(at := f"{root}/{maker}/")} for maker in MAKERS}
    assert seen == OPENED
    assert not [line for line in lines if "connect(" in line and re.search(r"sin6?_", line)]  # urllib3 makes a socket
    assert not [path for path in opened if path.endswith((".bin", ".pt", ".ckpt", ".pkl", ".pickle"))]
