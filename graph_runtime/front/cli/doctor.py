"""`inlay doctor`: checks a machine for common problems in a few seconds, and explains how to fix each.

It changes nothing and downloads nothing. Only the checks that need torch import it.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from packaging.version import InvalidVersion, Version

from ....nodes.pack import PACK
from ...core.pack import Diagnosis
from ...core.paths import why_unwritable
from ...core.user_paths import home

PYTHON = (3, 11)
ENOUGH_DISK = 10 * 2**30


def diagnose(out: str | os.PathLike[str] = "inlay-out") -> list[Diagnosis]:
    """Run every check; a check that fails to run is a finding itself."""
    checks: list[Callable[[], Iterable[Diagnosis]]] = [
        _python,
        _packages,
        _devices,
        lambda: [_disk("INLAY_HOME", home(), "INLAY_HOME")],
        _hub,
        *PACK.checks,
        lambda: [_writable(Path(out))],
    ]
    findings: list[Diagnosis] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 - whatever is broken is a finding
            findings.append(
                Diagnosis(
                    getattr(check, "__name__", "check").strip("_<>"),
                    False,
                    f"{type(error).__name__}: {error}",
                    "please report this",
                )
            )
    return findings


def render(findings: Iterable[Diagnosis]) -> str:
    """The findings as lines for a terminal, each with its fix below."""
    findings = list(findings)
    width = max((len(finding.name) for finding in findings), default=0)
    marks = {True: "ok  ", False: "FAIL", None: "--  "}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.ok]}  {finding.name:{width}}  {finding.detail}")
        if finding.fix and finding.ok is not True:
            lines.append(f"{'':{width + 6}}  fix: {finding.fix}")
    failed = sum(finding.ok is False for finding in findings)
    return "\n".join(
        [*lines, "", "no problems found" if not failed else f"{failed} problem{'s' if failed > 1 else ''}"]
    )


def _python() -> Iterable[Diagnosis]:
    good = sys.version_info[:2] >= PYTHON
    yield Diagnosis(
        "python",
        good,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "" if good else f"inlay needs Python {PYTHON[0]}.{PYTHON[1]} or newer",
    )


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: `2.13.0+cpu` → (2, 13, 0); none if it does not follow PEP 440."""
    try:
        return Version(version).release
    except InvalidVersion:
        return ()


def _packages() -> Iterable[Diagnosis]:
    for name, (oldest, newest) in PACK.tested.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Diagnosis(name, False, "not installed", f"pip install '{name}>={oldest}'")
            continue
        if release(version) < release(oldest):
            yield Diagnosis(
                name,
                False,
                f"{version}, older than the tested releases ({oldest} to {newest})",
                f"pip install -U '{name}>={oldest}'",
            )
        elif release(version)[:2] > release(newest)[:2]:
            yield Diagnosis(
                name,
                None,
                f"{version}, newer than the tested releases ({oldest} to {newest})",
                f"if something fails: pip install '{name}=={newest}.*'",
            )
        else:
            yield Diagnosis(name, True, f"{version} (tested: {oldest} to {newest})")


def _devices() -> Iterable[Diagnosis]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    number = torch.get_num_threads()
    threads = f"{number} thread{'s' if number > 1 else ''}"
    memory = f", {_gib(total)} of memory" if (total := _system_memory()) else ""
    yield Diagnosis("cpu", True, threads + memory)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            yield Diagnosis(
                f"cuda:{number}", True, f"{torch.cuda.get_device_name(number)}, {_gib(free)} of {_gib(total)} free"
            )
    elif torch.version.cuda is not None:
        yield Diagnosis(
            "cuda",
            False,
            f"torch is built for CUDA {torch.version.cuda} but finds no device",
            "check the driver with nvidia-smi; until it works, everything runs on the CPU",
        )
    else:
        yield Diagnosis(
            "cuda",
            None,
            "no CUDA: this torch computes on the CPU" + (" or mps" if torch.backends.mps.is_available() else ""),
        )


def _system_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gib(amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB"


def _existing(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _disk(name: str, path: Path, variable: str) -> Diagnosis:
    place = _existing(path)
    free = shutil.disk_usage(place).free
    if why := why_unwritable(path):
        return Diagnosis(name, False, f"{path}: {why}", f"set {variable} to a folder that you can write to")
    enough = free >= ENOUGH_DISK
    return Diagnosis(
        name,
        True if enough else None,
        f"{path}, {_gib(free)} free",
        "" if enough else f"large models need more space: set {variable} to a larger disk",
    )


def _hub() -> Iterable[Diagnosis]:
    from huggingface_hub import constants

    yield _disk("hub cache", Path(constants.HF_HUB_CACHE), "HF_HOME")
    switches = [
        name
        for name in ("INLAY_OFFLINE", "HF_HUB_OFFLINE")
        if os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")
    ]
    yield Diagnosis(
        "offline",
        None,
        f"{' and '.join(switches)} set: nothing is downloaded"
        if switches
        else "no: models that are not on this machine are downloaded when needed",
    )


def _writable(out: Path) -> Diagnosis:
    place = _existing(out)
    if why := why_unwritable(out):
        return Diagnosis("output", False, f"{out.absolute()}: {why}", "choose another folder with --out")
    return Diagnosis("output", True, f"{out.absolute()}, {_gib(shutil.disk_usage(place).free)} free")
