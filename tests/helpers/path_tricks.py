"""A table of tricks by which a workflow, a picture or a model could make inlay read what is none of its business.

`build` lays out the folders and returns the table. As a program, this file runs the whole table in one process, between
marks, while strace or its own audit hook looks on: what was opened is their word, not inlay's.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import sysconfig
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
#: What Python, its libraries and the C library open by themselves on Linux, whatever a workflow says.
RUNTIME = (
    *("/usr/", "/lib/", "/lib64/", "/opt/", "/sys/", "/dev/null", "/dev/urandom", "/dev/shm/"),
    *(
        "/etc/ld.so",
        "/etc/localtime",
        "/etc/mime.types",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/ssl/",
        "/etc/os-release",
    ),
    *(
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/mounts",
        "/proc/filesystems",
        "/proc/sys/",
        "/proc/version",
    ),
)
OF_THE_PROCESS = re.compile(
    r"/proc/(self|\d+)/(task/\d+/)?(status|stat|statm|maps|cgroup|mountinfo|mounts|comm|fd|limits)"
)


@dataclass
class Trick:
    """One attempt.

    Attributes:
        name: of the attempt, as the name of a file.
        source: the workflow or picture to run.
        reads: folders that this attempt may read, besides inlay's own.
        typed: settings that the user types.
        honest: it is no trick, and must succeed.
    """

    name: str
    source: str
    reads: list[str]
    typed: dict[str, str] = field(default_factory=dict)
    honest: bool = False


class Table:
    """Builds the folders, and collects the tricks."""

    def __init__(self, base: Path) -> None:
        self.base, self.inside, self.secret = base, base / "in", base / "secret"
        self.tricks: list[Trick] = []

    def add(self, kind: str, folder: Path | None = None, reads: Path | None = None, typed: bool = False, **params):
        """A workflow with one node of that kind, in `folder`."""
        from_folder = folder or self.inside
        number = len(self.tricks)
        name = f"{number:03d}-{re.sub(r'[^a-z]+', '-', str(next(iter(params.values()))).lower()).strip('-')[-40:]}"
        nodes = {"it": {"type": kind, "params": {} if typed else params}}
        outputs = {"x": f"it.{OUTPUTS[kind]}"}
        if kind == "model.stable_diffusion":
            nodes["photo"] = {"type": "image.load", "params": {"path": "a.png"}}
            nodes["seen"] = {"type": "latent.encode", "inputs": {"image": "photo.image", "vae": "it.vae"}}
            nodes["read"] = {
                "type": "condition.text",
                "params": {"prompt": "a"},
                "inputs": {"text_encoder": "it.text_encoder"},
            }
            outputs |= {"y": "seen.latent", "z": "read.conditioning"}
        if kind == "model.lora":
            nodes["base"] = {"type": "model.stable_diffusion", "params": {"source": "./model"}}
            nodes["it"]["inputs"] = {"denoiser": "base.denoiser"}
        source = from_folder / f"flow-{name}.json"
        source.write_text(json.dumps({"format": 1, "title": "t", "nodes": nodes, "outputs": outputs}), encoding="utf-8")
        chosen = {f"it.{key}": value for key, value in params.items()} if typed else {}
        self.tricks.append(Trick(name, str(source), [str(reads or from_folder)], chosen, honest=typed))


CANARY = "canary"  # reads what it may, but the table says that it may not: whoever looks on must notice
OUTPUTS = {
    "image.load": "image",
    "mask.load": "mask",
    "latent.load": "latent",
    "noise.load": "noise",
    "subject.photos": "overview",
    "model.stable_diffusion": "denoiser",
    "model.lora": "denoiser",
    "model.clip": "clip",
}
ODD_FOLDERS = ("*", "?????", "[s]ecret", "**", "photos[1]", "{in,secret}", "[!i]*", "s*", "~", "$HOME", "%TEMP%")


def build(base: Path, model: Path) -> list[Trick]:
    """Lay out everything below `base`; `model` is a Stable Diffusion folder that is copied."""
    table = Table(base)
    for folder in (table.inside, table.secret, table.inside / "sub", base / "photos1", base / "mail"):
        _fill(folder)
    for name in ODD_FOLDERS:
        _fill(base / name)
    for folder in (table.inside, table.secret):
        shutil.copytree(model, folder / "model")
    _links(table)
    _pictures(table)
    _others(table)
    _models(table)
    _recalled(table)
    _typed(table)
    return table.tricks


def _fill(folder: Path) -> None:
    import numpy as np
    from PIL import Image
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):  # of a content that is nowhere else
        colour = hashlib.sha256(f"{folder.name}/{name}".encode()).digest()
        Image.new("RGB", (64, 64), (colour[0], colour[1], colour[2])).save(folder / name)
    Image.new("L", (64, 64), 255).save(folder / "mask.png")
    save_file({"latent": np.zeros((1, 4, 8, 8), np.float32)}, folder / "latent.safetensors")
    (folder / "boxes.csv").write_text("file,left,top,right,bottom\na.png,0,0,40,40\n")
    for suffix in PICKLES:
        (folder / f"weights{suffix}").write_bytes(b"\x80\x04.")


def _links(table: Table) -> None:
    inside, secret = table.inside, table.secret
    targets = {
        "link.png": secret / "a.png",
        "relative.png": "../secret/a.png",
        "chain.png": "link.png",
        "hidden.safetensors": secret / "latent.safetensors",
        "link.csv": secret / "boxes.csv",
        "out": "../secret",
        "up": "..",
        "round": "round",
        "self": ".",
        "root": "/",
        "process": "/proc/self/root",
        "open": "/proc/self/fd",
        "zero.png": "/dev/zero",
        "in.png": "/dev/stdin",
        "gone.png": "../secret/nothing.png",
    }
    for name, target in targets.items():
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "pipe.png")
    album = inside / "album"
    album.mkdir()
    shutil.copy(inside / "a.png", album / "a.png")
    (album / "b.png").symlink_to(secret / "b.png")
    deep = inside / "deep/one"
    deep.mkdir(parents=True)
    (deep / "a.png").symlink_to(secret / "a.png")


def _pictures(table: Table) -> None:
    base, secret = table.base, table.secret
    outside = [
        *("../secret/a.png", f"{secret}/a.png", "sub/../../secret/a.png", "nothing/../../secret/a.png"),
        *("a.png/../../secret/a.png", "..//secret//a.png", "./././../secret/a.png", f"..{secret}/../secret/a.png"),
        *("link.png", "relative.png", "chain.png", "out/a.png", "out", "out/*", "up/secret/a.png", "self/out/a.png"),
        *("gone.png", "zero.png", "pipe.png", "round/a.png", "in.png", f"root{secret}/a.png", f"process{secret}/a.png"),
        *("../secret/*", "../*/a.png", "../s*", "*/a.png", "*/*", "**/a.png", "**/**/*.png", "o*/a.png", "[o]ut/*.png"),
        *("album", "album/*", "deep/*", "deep/*/*.png", "d*/o*/a*", "{in,../secret}/a.png", "sub/../../s[e]cret/*.png"),
        *("~/a.png", "~root/a.png", "$HOME/a.png", "${HOME}/a.png", "%HOME%/a.png", "$(pwd)/a.png", "`pwd`/a.png"),
        *(
            "..\\secret\\a.png",
            "..\\..\\secret\\a.png",
            "C:\\secret\\a.png",
            "\\\\host\\share\\a.png",
            "//host/share/a.png",
        ),
        *("a.png:stream", "a.png::$DATA", "file:../secret/a.png", f"file://{secret}/a.png", "http://127.0.0.1:9/a.png"),
        *(
            "ftp://127.0.0.1/a.png",
            "%2e%2e/secret/a.png",
            "..%2fsecret%2fa.png",
            "\u2025/secret/a.png",
            ".. /secret/a.png",
        ),
        *("/proc/self/environ", "/proc/self/mem", f"/proc/self/root{secret}/a.png", f"/proc/{os.getpid()}/environ"),
        *(
            "/dev/fd/0",
            "/dev/stdin",
            "/proc/self/fd/0",
            "open/0",
            "/dev/zero",
            "/dev/random",
            "/dev/tty",
            "/etc/shadow",
        ),
        *(
            "a.png\0../secret/a.png",
            "\0",
            "",
            ".",
            "..",
            "/",
            "../",
            "-",
            "CON",
            "NUL",
            "a" * 5000,
            "../" * 40 + "etc/shadow",
        ),
    ]
    for path in outside:
        table.add("image.load", path=path)
    for name in ODD_FOLDERS:
        for path in ("*.png", "a.png", "?.png", "*", "../*/*.png", "."):
            table.add("image.load", folder=base / name, path=path)
    for name in ODD_FOLDERS:
        table.add("image.load", folder=base, reads=base, path=f"{name}/*.png")
        table.tricks[-1].reads = [str(base / name)]


def _others(table: Table) -> None:
    secret = table.secret
    for path in ("../secret/mask.png", "link.png", "out/*", "album", "pipe.png", f"{secret}/mask.png"):
        table.add("mask.load", path=path)
    stored = "hidden.safetensors", "../secret/latent.safetensors", "out/latent.safetensors", "weights.bin", "weights.pt"
    for path in (*stored, "../secret/weights.ckpt", "zero.png", "latent.safetensors"):
        table.add("latent.load", path=path)
        table.add("noise.load", path=path)
    for path in (
        ["a.png", "../secret/b.png"],
        ["out"],
        "album",
        "*/a.png",
        ["link.png", "b.png"],
        ["a.png"],
        "../secret",
    ):
        table.add("subject.photos", path=path)
    for name in ("masks", "boxes"):
        for path in ("out", "out/mask.png", "../secret/boxes.csv", "link.csv", "../secret", "zero.png", "pipe.png"):
            table.add("subject.photos", path="a.png", **{name: path})


def _models(table: Table) -> None:
    inside, secret = table.inside, table.secret
    model = inside / "model"
    for name in ("with-links", "with-a-pickle", "only-pickles", "with-an-index", "with-names", "with-an-adapter"):
        shutil.copytree(model, inside / name)
    shutil.rmtree(inside / "with-links/vae")
    (inside / "with-links/vae").symlink_to(secret / "model/vae")
    shutil.copytree(model, inside / "with-a-link")
    (inside / "with-a-link/vae/config.json").unlink()
    (inside / "with-a-link/vae/config.json").symlink_to(secret / "model/vae/config.json")
    for part in ("unet", "vae", "text_encoder"):
        for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin", "model.ckpt", "training_args.bin"):
            (inside / "with-a-pickle" / part / name).write_bytes(b"\x80\x04.")
        for file in (inside / "only-pickles" / part).glob("*.safetensors"):
            file.rename(file.with_suffix(".bin"))
        config = json.loads((inside / "with-names" / part / "config.json").read_text())
        config |= {
            "transformers_weights": "weights.bin",
            "_name_or_path": str(secret / "model"),
            "attn_implementation": "owner/name",
            "auto_map": {"AutoModel": "code.Model", "AutoConfig": "../../secret/code.Config"},
            "quantization_config": {"quant_method": "bitsandbytes"},
        }
        (inside / "with-names" / part / "config.json").write_text(json.dumps(config))
        (inside / "with-names" / part / "weights.bin").write_bytes(b"\x80\x04.")
        (inside / "with-names" / part / "code.py").write_text("raise SystemExit")
        (inside / "with-an-adapter" / part / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": str(secret / "model"), "peft_type": "LORA", "r": 4})
        )
    weights = next((inside / "with-an-index/vae").glob("*.safetensors"))
    index = {"weight_map": {"encoder.conv_in.weight": "../../../secret/latent.safetensors"}}
    weights.with_name(f"{weights.name}.index.json").write_text(json.dumps(index))
    weights.unlink()
    (inside / "one.safetensors").symlink_to(secret / "latent.safetensors")
    (inside / "tokenized").mkdir()
    shutil.copy(inside / "latent.safetensors", inside / "tokenized/one.safetensors")
    (inside / "tokenized/tokenizer").symlink_to(secret / "model/tokenizer")
    made = (
        "with-links",
        "with-a-link",
        "with-a-pickle",
        "only-pickles",
        "with-an-index",
        "with-names",
        "with-an-adapter",
    )
    sources = [
        *(f"./{name}" for name in ("model", *made)),
        *(
            "../secret/model",
            f"{secret}/model",
            "out/model",
            "./out/model",
            "up/secret/model",
            "model/../../secret/model",
        ),
        *("one.safetensors", "tokenized/one.safetensors", "weights.bin", "../secret/weights.ckpt", "./weights.pt"),
        *(
            "owner/name",
            "../owner/name",
            "owner/../../secret",
            "models/mine",
            "secret",
            "..",
            ".",
            "/",
            "~/model",
            "*",
            "m*",
        ),
        *(f"file://{secret}/model", "http://127.0.0.1:9/model", "https://127.0.0.1/owner/name", "..\\secret\\model"),
    ]
    for source in sources:
        table.add("model.stable_diffusion", source=source)
        table.tricks[-1].honest = source == "./model"
    for revision in ("../../../../secret/a.png", f"{secret}/weights.bin", "../../../secret/model", "main", ".."):
        table.add("model.stable_diffusion", source="owner/name", revision=revision)
        table.add("model.lora", source="owner/name", revision=revision)
    for variant in ("../../../secret/a", "*", "fp16", "../.."):
        table.add("model.stable_diffusion", source="./model", variant=variant)
    lora = inside / "lora"
    lora.mkdir()
    shutil.copy(inside / "latent.safetensors", lora / "adapter_model.safetensors")
    (lora / "adapter_config.json").symlink_to(secret / "boxes.csv")
    for source in (
        "./lora",
        "lora/adapter_model.safetensors",
        "hidden.safetensors",
        "../secret/latent.safetensors",
        "./out",
    ):
        table.add("model.lora", source=source)
    for source in ("weights.bin", "../secret/weights.pt", "./sub", "out/latent.safetensors", "~/latent.safetensors"):
        table.add("model.lora", source=source)
    for source in ("./model", "../secret/model", "./out", "./only-pickles/text_encoder", "./with-names/text_encoder"):
        table.add("model.clip", source=source)


def _recalled(table: Table) -> None:
    """Pictures that carry a workflow and the hash of a file, with a link to that file beside them."""
    from inlay.graph_runtime.core.file_digests import digest
    from PIL import Image, PngImagePlugin

    for name, link in (
        ("a.png", True),
        ("other.png", True),
        ("a.png", False),
        ("../secret/a.png", False),
        ("*.png", True),
    ):
        folder = table.base / f"mail-{len(table.tricks)}"
        folder.mkdir()
        if link:
            (folder / Path(name).name).symlink_to(table.secret / "a.png")
            (folder / "sub").symlink_to(table.secret)
        recipe = {
            "workflow": {
                "format": 1,
                "title": "t",
                "nodes": {"it": {"type": "image.load", "params": {"path": "a.png"}}},
                "outputs": {"x": "it.image"},
            },
            "files": {"it.path": {"name": name, "digest": digest(table.secret / "a.png"), "kind": "files", "size": ""}},
        }
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("inlay", json.dumps(recipe))
        Image.new("RGB", (8, 8)).save(folder / "shared.png", pnginfo=chunks)
        trick = Trick(f"{len(table.tricks):03d}-recalled", str(folder / "shared.png"), [str(folder)])
        table.tricks.append(trick)


def _typed(table: Table) -> None:
    """What the user types is not restricted, but means one thing."""
    for name in ODD_FOLDERS:
        for text in (f"{name}", f"{name}/*.png", f"{name}/a.png"):
            table.add("image.load", reads=table.base / name, typed=True, path=str(table.base / text))
            table.tricks[-1].reads.append(str(table.inside))
    table.add("image.load", typed=True, path=str(table.secret / "b.png"))
    table.tricks[-1].name = CANARY


# judging


def allowed_everywhere(base: Path) -> list[str]:
    """Folders that any run may read: inlay's own, Python's and its libraries'."""
    own = [base / name for name in ("home", "saved", "tmp", "hub", "marks", "table.json", "seen.json")]
    python = [ROOT, *filter(None, sysconfig.get_paths().values()), sys.prefix, sys.base_prefix, *filter(None, sys.path)]
    return sorted({*map(str, own), *(os.path.realpath(path) for path in python), *map(str, python)})


def outside(path: str, trick: Trick | None, everywhere: list[str]) -> bool:
    """True if nobody had any business with an opened path."""
    if path.startswith(("pipe:", "socket:", "anon_inode:")):
        return False
    folders = [*everywhere, *(trick.reads if trick is not None else [])]
    if trick is not None and path == trick.source:
        return False
    if any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders):
        return path.endswith(PICKLES)
    return not (path.startswith(RUNTIME) or OF_THE_PROCESS.match(path))


# running


class Watch:
    """Notes what this process opens: by Python's audit events, and by what `os.open` has really opened."""

    def __init__(self) -> None:
        self.opened: set[str] = set()
        self.others: list[str] = []
        self._open = os.open
        os.open = self._watched  # an audit event does not say below which folder a name was opened
        sys.addaudithook(self._hear)

    def _watched(self, path, flags, mode=0o777, *, dir_fd=None):
        made = self._open(path, flags, mode, dir_fd=dir_fd)
        if not flags & getattr(os, "O_PATH", 0):
            self.opened.add(_name_of(made) or os.path.realpath(path))
        return made

    def _hear(self, event: str, args: tuple) -> None:
        if event in ("open", "os.listdir", "os.scandir"):
            path = args[0]
            if event == "open" and sys._getframe(1).f_code is self._watched.__func__.__code__:
                return
            if isinstance(path, (str, bytes, os.PathLike)):
                self.opened.add(os.path.realpath(os.fsdecode(path)))
            elif path is None:
                self.opened.add(os.getcwd())
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.exec", "os.system"):
            self.others.append(f"{event} {args[1:3]!r}")


def _name_of(descriptor: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return ""


def run_all(base: Path, watching: bool) -> None:
    """Run the table; with `watching`, write what was opened, else mark each trick by opening a file of its name."""
    import inlay
    from inlay.graph_runtime.core.errors import NodeError, WorkflowError

    tricks = [Trick(**entry) for entry in json.loads((base / "table.json").read_text(encoding="utf-8"))]
    model = next(trick for trick in tricks if trick.honest and not trick.typed)
    inlay.run(model.source, out=base / "saved")  # libraries are imported here (one tries whether sockets can be made)
    watch = Watch() if watching else None
    seen = []
    for trick in tricks:
        if watch is not None:
            watch.opened, watch.others = set(), []
        else:
            (base / "marks" / trick.name).read_bytes()
        said = []
        for action in (inlay.check, inlay.run):
            try:
                found = action(trick.source, out=base / "saved", set=trick.typed)
                said.append("problems" if action is inlay.check and found else "fine")
            except (WorkflowError, NodeError) as error:
                said.append(f"refused: {str(error)[:300]}")
                last = str(error)
                if "--traceback" in last or "bug of inlay" in last:
                    said.append(f"unforeseen: {last}")
            except Exception as error:  # noqa: BLE001 - it is reported, and the rest of the table goes on
                said.append(f"unforeseen: {type(error).__name__}: {error}")
        opened = sorted(watch.opened) if watch is not None else []
        seen.append({"name": trick.name, "said": said, "opened": opened, "others": watch.others if watch else []})
    (base / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


def environment(base: Path) -> dict[str, str]:
    """The variables to run the table with: everything of inlay's own below `base`, and no network wanted."""
    own = {
        "HOME": base / "secret",
        "INLAY_HOME": base / "home",
        "TMPDIR": base / "tmp",
        "HF_HOME": base / "hub",
        "HF_HUB_CACHE": base / "hub",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "INLAY_", "XDG_"))}
    offline = {"HF_HUB_OFFLINE": "1", "INLAY_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **{name: str(path) for name, path in own.items()}, **offline}


def prepare(base: Path, model: Path) -> list[Trick]:
    """Everything that `run_all` needs below `base`."""
    for name in ("home", "saved", "tmp", "hub/models--owner--name/refs", "hub/models--owner--name/snapshots", "marks"):
        (base / name).mkdir(parents=True)
    tricks = build(base, model)
    for trick in tricks:
        (base / "marks" / trick.name).touch()
    (base / "table.json").write_text(json.dumps([asdict(trick) for trick in tricks]), encoding="utf-8")
    return tricks


if __name__ == "__main__":
    run_all(Path(sys.argv[1]), watching=sys.argv[2] == "watch")
