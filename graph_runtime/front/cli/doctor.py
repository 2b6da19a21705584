"""`inlay doctor`: what commonly goes wrong on a machine, looked at in a few seconds, each with its cure.

Nothing is changed and nothing is downloaded. Torch is imported only by the two checks that need it.
"""

import importlib.util
import json
import os
import platform
import shutil
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ...core.paths import why_unwritable
from ...core.user_paths import home
from ..tested import TESTED, newer, older

PYTHON = (3, 11)
REINSTALL = "pip install --force-reinstall inlay, or check the repository out again"
ENOUGH_DISK = 10 * 2**30
EMBEDDED = Path(__file__).resolve().parents[3] / "dollhouse"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok` is None where it is neither good nor bad; `fix` says what to type."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


def diagnose(out: str | os.PathLike[str] = "inlay-out") -> list[Finding]:
    """Look at everything; a check that fails to run is a finding itself."""
    checks: list[Callable[[], Iterable[Finding]]] = [
        _python,
        _packages,
        _torchvision,
        _devices,
        lambda: [_disk("INLAY_HOME", home(), "INLAY_HOME")],
        _hub,
        _embedded,
        lambda: [_writable(Path(out))],
    ]
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:  # whatever is broken here is what the user wants to read
            findings.append(
                Finding(
                    getattr(check, "__name__", "check").strip("_<>"),
                    False,
                    f"{type(error).__name__}: {error}",
                    "please report this",
                )
            )
    return findings


def render(findings: Iterable[Finding]) -> str:
    """The findings as lines for a terminal, each cure under its finding."""
    findings = list(findings)
    width = max((len(finding.name) for finding in findings), default=0)
    marks = {True: "ok  ", False: "FAIL", None: "--  "}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.ok]}  {finding.name:{width}}  {finding.detail}")
        if finding.fix and finding.ok is not True:
            lines.append(f"{'':{width + 6}}  fix: {finding.fix}")
    failed = sum(finding.ok is False for finding in findings)
    return "\n".join([*lines, "", "all is well" if not failed else f"{failed} problem{'s' if failed > 1 else ''}"])


def _python() -> Iterable[Finding]:
    good = sys.version_info[:2] >= PYTHON
    yield Finding(
        "python",
        good,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if good else f"inlay needs Python {PYTHON[0]}.{PYTHON[1]} or newer",
    )


def _packages() -> Iterable[Finding]:
    for name, (oldest, newest) in TESTED.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, False, "not installed", f"pip install '{name}>={oldest}'")
            continue
        if older(name, version):
            yield Finding(
                name,
                False,
                f"{version}, older than what was tested ({oldest} to {newest})",
                f"pip install -U '{name}>={oldest}'",
            )
        elif newer(name, version):
            yield Finding(
                name,
                None,
                f"{version}, newer than what was tested ({oldest} to {newest})",
                f"should something fail here: pip install '{name}=={newest}.*'",
            )
        else:
            yield Finding(name, True, f"{version} (tested: {oldest} to {newest})")


def _torchvision() -> Iterable[Finding]:
    """inlay does not need it, but a build that does not fit the torch beside it breaks diffusers and transformers."""
    if importlib.util.find_spec("torchvision") is None:
        yield Finding("torchvision", None, "not installed (not needed)")
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        yield Finding(
            "torchvision",
            False,
            f"installed, but it does not work with this torch: {error}",
            "pip uninstall torchvision (inlay does not need it; broken, it stops diffusers from loading), "
            "or install the build that belongs to your torch",
        )
        return
    yield Finding("torchvision", True, metadata.version("torchvision"))


def _devices() -> Iterable[Finding]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    threads = f"{torch.get_num_threads()} threads"
    memory = f", {_gib(total)} of memory" if (total := _system_memory()) else ""
    yield Finding("cpu", True, threads + memory)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            yield Finding(
                f"cuda:{number}", True, f"{torch.cuda.get_device_name(number)}, {_gib(free)} of {_gib(total)} free"
            )
    elif torch.version.cuda is not None:
        yield Finding(
            "cuda",
            False,
            f"torch is built for CUDA {torch.version.cuda} but finds no device",
            "check the driver with nvidia-smi; until then everything runs on the CPU",
        )
    else:
        yield Finding(
            "cuda",
            None,
            "none: this torch computes on the CPU" + (" or mps" if torch.backends.mps.is_available() else ""),
        )


def _system_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gib(amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB"


def _existing(path: Path) -> Path:
    """The path itself or its nearest parent that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _disk(name: str, path: Path, variable: str) -> Finding:
    place = _existing(path)
    free = shutil.disk_usage(place).free
    if why := why_unwritable(path):
        return Finding(name, False, f"{path}: {why}", f"set {variable} to a folder of yours")
    enough = free >= ENOUGH_DISK
    return Finding(
        name,
        True if enough else None,
        f"{path}, {_gib(free)} free",
        "" if enough else f"large models need more: set {variable} to a larger disk",
    )


def _hub() -> Iterable[Finding]:
    from huggingface_hub import constants

    yield _disk("hub cache", Path(constants.HF_HUB_CACHE), "HF_HOME")
    switches = [
        name
        for name in ("INLAY_OFFLINE", "HF_HUB_OFFLINE")
        if os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")
    ]
    yield Finding(
        "offline",
        None,
        f"{' and '.join(switches)} set: nothing is downloaded"
        if switches
        else "no: a model that is named and not here may be downloaded",
    )


def _embedded() -> Iterable[Finding]:
    """The models that ship: every part that the index names has its files, and their headers agree with their sizes."""
    indexes = sorted(EMBEDDED.glob("**/model_index.json"))
    if not indexes:
        yield Finding("dollhouse", False, f"no embedded model in {EMBEDDED}", REINSTALL)
    alone = sorted(path for path in EMBEDDED.glob("*/config.json") if path.with_name("model.safetensors").is_file())
    for index in indexes + alone:
        folder = index.parent
        problems = [problem for path in sorted(folder.rglob("*.safetensors")) if (problem := _damage(path))]
        problems += [] if index in alone else _absent(index)
        name = folder.parent.name if folder.name == "weights" else f"dollhouse-{folder.name}"
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        yield Finding(
            name, not problems, "; ".join(problems) or f"embedded, {size:.1f} MiB", REINSTALL if problems else ""
        )


WEIGHTED = ("unet", "vae", "text_encoder", "image_encoder")


def _absent(index: Path) -> Iterable[str]:
    parts = {name: value for name, value in json.loads(index.read_text()).items() if isinstance(value, list)}
    for name, (library, _) in parts.items():
        folder = index.parent / name
        if library is not None and not any(folder.glob("*.json")):
            yield f"{name}: no configuration"
        elif library is not None and name in WEIGHTED and not any(folder.glob("*.safetensors")):
            yield f"{name}: no weights"


def _damage(path: Path) -> str:
    """What is wrong with a safetensors file, from its header alone; nothing when it is whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size - 8:
                return f"{path.name}: cut off"
            header = json.loads(stream.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        return f"{path.name}: not readable ({error})"
    return "" if 8 + length + end == size else f"{path.name}: cut off"


def _writable(out: Path) -> Finding:
    place = _existing(out)
    if why := why_unwritable(out):
        return Finding("output", False, f"{out.absolute()}: {why}", "name another folder with --out")
    return Finding("output", True, f"{out.absolute()}, {_gib(shutil.disk_usage(place).free)} free")
