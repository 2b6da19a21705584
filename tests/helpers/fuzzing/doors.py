"""Ask inlay by its public doors, and judge the answer."""

import contextlib
import hashlib
import io
import json
import re
import traceback
from dataclasses import dataclass, field

_BUG = re.compile(r"bug (of|in) inlay|please report|Traceback \(most recent|--traceback to see", re.IGNORECASE)
_NUMBERED = re.compile(r"_\d{5}\b")  # names of saved files, which get the next free number


@dataclass
class Answer:
    """What came back.

    Attributes:
        status: `ok`, `refused` (before anything ran), `failed` (a node) or `raised`.
        text: all of it, to be compared with a second answer.
        findings: (kind, where, what) of what must not be.
    """

    status: str
    text: str = ""
    findings: list[tuple[str, str, str]] = field(default_factory=list)


def ask(case, folder, world):
    """Ask, and judge what comes back."""
    try:
        return DOORS[case.door](case, folder, world)
    except BaseException as error:  # noqa: BLE001 - whatever comes is judged
        if isinstance(error, SystemExit) and case.door == "words":
            return _of_status(error.code, "", "")
        return _raised(error)


def _raised(error):
    import inlay

    text = f"{type(error).__name__}: {str(error)[:2000]}"
    if isinstance(error, inlay.InlayError):
        answer = Answer("refused" if isinstance(error, inlay.WorkflowError) else "failed", text)
        if _BUG.search(str(error)):
            cause = error.__cause__ or error
            answer.findings.append(("unforeseen", _where(cause), f"{text[:600]} <- {type(cause).__name__}"))
        return answer
    return Answer("raised", text, [("exception", _where(error), text[:600])])


def _where(error):
    """Type of an error and the innermost functions of inlay that it came through: one bug, one name."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in frames if "/fuzzing/" not in frame.filename
    ]
    inlays = [
        f"{frame.filename.rpartition('/')[2]}:{frame.name}"
        for frame in frames
        if "site-packages" not in frame.filename
        and "/fuzzing/" not in frame.filename
        and "/lib/python" not in frame.filename
    ]
    return f"{type(error).__name__} in {' < '.join([*inlays[:-3:-1], *ours[:-2:-1]])}"


def _check(case, folder, world):
    import inlay

    report = inlay.check(folder / case.source, out=world.out, **_values(case, folder))
    return _of_report(report)


def _of_report(report):
    import inlay

    answer = Answer("refused" if report else "ok", "\n".join(map(str, report)))
    if not isinstance(report, list) or not all(isinstance(problem, inlay.Problem) for problem in report):
        answer.findings.append(("answer", "check", f"not a list of problems: {report!r:.300}"))
    if found := _BUG.search(answer.text):
        line = next(line for line in answer.text.splitlines() if _BUG.search(line))
        answer.findings.append(("unforeseen", f"check says {found[0]!r}", line[:600]))
    return answer


def _dict(case, folder, world):
    import inlay

    return _of_report(inlay.check(case.given, out=world.out))


def _values(case, folder):
    return {
        name: str(folder / value[7:]) if str(value).startswith("folder:") else value
        for name, value in case.values.items()
    }


def _run(case, folder, world):
    import inlay

    report = inlay.check(folder / case.source, out=world.out, **_values(case, folder))
    answer = _of_report(report)
    if report:
        return answer
    result = inlay.run(folder / case.source, out=world.out, cache=False, **_values(case, folder))
    digest = hashlib.sha256()
    for name, value in sorted(result.items()):
        digest.update(
            name.encode()
            + (value.numpy().tobytes() if hasattr(value, "numpy") else _NUMBERED.sub("_N", str(value)).encode())
        )
    for path in result.paths:
        digest.update(path.read_bytes() if path.is_file() else b"")
        if not path.resolve().is_relative_to(world.out.resolve()):
            answer.findings.append(("write", "announced path", str(path)))
    answer.text = digest.hexdigest()
    return answer


def _words(case, folder, world):
    from inlay.graph_runtime.front.cli import main

    out, err = io.StringIO(), io.StringIO()
    words = [word.replace("FOLDER", str(folder)) for word in case.words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main.main(words)
        except SystemExit as end:
            status = end.code
    answer = _of_status(status, out.getvalue(), err.getvalue(), traced="--traceback" in words)
    if "--json" in words and words[:1] in (["check"], ["run"]) and out.getvalue().startswith("{"):
        try:
            json.loads(out.getvalue())
        except ValueError as error:
            answer.findings.append(("answer", "--json", f"not one JSON object ({error}): {out.getvalue()[:300]}"))
    return answer


def _of_status(status, out, err, traced=False):
    status = 0 if status is None else status
    answer = Answer({0: "ok", 1: "failed", 2: "refused", 130: "failed"}.get(status, "raised"), str(status))
    if status not in (0, 1, 2, 130):
        answer.findings.append(("answer", "exit status", f"{status!r}"))
    shown = re.sub(r"Traceback.*", "", err) if traced else err
    if _BUG.search(shown):
        found = re.search(r"found\s+(.*)", err)
        kind = re.match(r"\w+(Error|Exception|Warning)?", found[1] if found else "?")
        answer.findings.append(("unforeseen", f"command line says {kind and kind[0]}", err[-600:]))
    return answer


DOORS = {"check": _check, "run": _run, "dict": _dict, "words": _words}
