"""Run one case under watch, and list what was wrong: the answer, what the process did, its time and its memory."""

import gc
import hashlib
import json
import re
import time
import warnings
from dataclasses import asdict, dataclass, field

from . import doors, watch
from .picture_cases import size_of
from .workflow_cases import as_python

CHECK_SECONDS, RUN_SECONDS = 2.0, 7.0  # of CPU: a check, and a check with a run that reads a picture
CHECK_BYTES, RUN_BYTES, BYTES_A_PIXEL = 2**30, 2**28, 40
_QUOTED = re.compile(r"`[^`]*`")  # safetensors names one of several wrong tensors by chance
REFERENCE = 0.030  # CPU seconds of `calibration` on the machine where the limits were set


@dataclass(frozen=True)
class Finding:
    """Something that must not happen; findings with one `name` have one cause."""

    kind: str
    where: str
    what: str

    @property
    def name(self):
        return re.sub(r"0x[0-9a-f]+|\d+", "N", f"{self.kind}: {self.where}")[:200]


@dataclass
class Result:
    """A case's answer, costs and findings."""

    status: str
    seconds: float
    bytes: int
    findings: list[Finding] = field(default_factory=list)
    text: str = ""

    def to_json(self):
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        raw = json.loads(text)
        raw["findings"] = [Finding(**one) for one in raw["findings"]]
        return cls(**raw)


def calibration():
    """CPU seconds of a fixed piece of work, against `REFERENCE`: how much slower this machine is now; at least 1."""
    began = time.thread_time()
    text = json.dumps({f"n{number}": ["a.png", number] for number in range(6000)})
    for _ in range(4):
        json.loads(text)
    digest = hashlib.sha256(text.encode() * 20)
    for word in text.split(",")[:20_000]:
        digest.update(word.encode())
    return max(1.0, (time.thread_time() - began) / REFERENCE)


def judge(case, world, spy, *, twice=False, slack=1.0):
    """Run a case; `twice` asks again and compares the answers."""
    laid = world.lay(case)
    folder = world.folder_of(case)
    case.given = as_python(case.files[case.source]) if case.door == "dict" else None
    before = watch.peak_begins()
    typed = case.door in ("dict", "words")  # paths of the user's own are not confined
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spy.start(folder, reads_confined=not typed, may_write=case.door == "words")
        answer = doors.ask(case, folder, world)
        seen = spy.stop()
    seconds = time.process_time() - began
    used = watch.peak() - before
    findings = [Finding(*one) for one in answer.findings]
    findings += list(dict.fromkeys(Finding(*one) for one in seen))[:20]
    findings += _costs(case, folder, answer, seconds, used, slack)
    if twice and not findings:
        again = doors.ask(case, folder, world)
        if (again.status, _QUOTED.sub("", again.text)) != (answer.status, _QUOTED.sub("", answer.text)):
            what = f"{answer.status} {answer.text[:300]!r}, then {again.status} {again.text[:300]!r}"
            findings.append(Finding("second answer", f"{answer.status} then {again.status}", what))
    for left in world.tidy(case, laid, may_write=case.door == "words"):
        findings.append(Finding("leftover", re.sub(r"[.\w-]*\.(part|old)", r"*.\1", left), left))
    return Result(answer.status, seconds, used, findings, answer.text[:400])


def _costs(case, folder, answer, seconds, used, slack):
    ran = case.door == "run" and answer.status != "refused"
    found = []
    limit = (RUN_SECONDS if ran else CHECK_SECONDS) * slack
    if seconds > limit and (case.tame or not ran):
        found.append(Finding("slow", f"{case.door} of {_kind(case)}", f"{seconds:.1f} s of CPU, at most {limit:.1f}"))
    most = CHECK_BYTES if not ran else max(CHECK_BYTES, RUN_BYTES + BYTES_A_PIXEL * _pixels(case))
    if used > most and (case.tame or not ran):
        what = f"{used / 2**20:.0f} MiB, at most {most / 2**20:.0f}"
        found.append(Finding("memory", f"{case.door} of {_kind(case)}", what))
    return found


def _kind(case):
    return "+".join(sorted({name.rpartition(".")[2] for name in case.files})) or case.source


def _pixels(case):
    """Pixels of the largest picture that a case brings."""
    return max((size_of(contents) for contents in case.files.values()), default=0)


def rest():
    """Forget what was kept from earlier cases."""
    from inlay.graph_runtime.front import kept_between_runs

    kept_between_runs._kept.clear()
    gc.collect()
