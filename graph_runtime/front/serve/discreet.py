"""What clients are told names no folder of this machine: its place in a message is taken by what the folder is for."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ...core.errors import Problem, WorkflowError
from ...core.events import Warned
from ...core.user_paths import home
from .json_data import Json
from .settings import Settings

_PACKAGE = Path(__file__).resolve().parents[3]
_FOLDERS_OF_OTHERS = ("HF_HOME", "HF_HUB_CACHE", "INLAY_HOME")  # variables that name one
_LIST = re.compile(r"\w+(?: or \w+)+")


class Discreet:
    """Puts words in the place of the server's folders.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: Settings) -> None:
        words: dict[str, str] = {}
        for folder, word in _named(settings):
            for path in (os.path.abspath(folder), os.path.realpath(folder)):
                for text in (path, path.replace("\\", "\\\\")):  # as `repr` writes it
                    if len(Path(path).parts) > 1:
                        words.setdefault(text, word)
        longest_first = sorted(words, key=len, reverse=True)
        self._words = words
        self._folder = re.compile(rf"(?<![\w/])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

    def text(self, text: str) -> str:
        """A text without the paths of folders."""
        told = self._folder.sub(lambda found: self._words[found[0]], text)
        return text if told == text else _LIST.sub(_each_once, told)

    def problem(self, problem: Problem) -> Problem:
        """A problem without them."""
        found, expected, fix = map(self.text, (problem.found, problem.expected, problem.fix))
        return replace(problem, found=found, expected=expected, fix=fix)

    def problems(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems without them."""
        return [self.problem(one) for one in problems]

    def warnings(self, warnings: Iterable[Warned]) -> list[Warned]:
        """Warnings without them."""
        return [replace(one, message=self.text(one.message)) for one in warnings]

    def error(self, error: WorkflowError) -> WorkflowError:
        """An error without them."""
        return WorkflowError(self.problems(error.problems), self.warnings(error.warnings))

    def told(self, told: Mapping[str, object]) -> Json:
        """A problem, a warning or an event as JSON without them."""
        texts = ("found", "expected", "fix", "message", "note")
        return {
            key: self.text(value) if key in texts and isinstance(value, str) else value for key, value in told.items()
        }


def _named(settings: Settings) -> list[tuple[Path, str]]:
    known = {settings.uploads: "uploads", settings.pictures: "pictures", settings.out: "results"}
    if settings.inputs is not None:
        known[settings.inputs] = "inputs"
    samples = [(root, "samples") for root in settings.roots if root not in known]
    others = [Path(os.environ[name]) for name in _FOLDERS_OF_OTHERS if os.environ.get(name)]
    return [
        *known.items(),
        *samples,
        (settings.folder, "server"),
        (home(), "home"),
        *((folder, "models") for folder in others),
        (_PACKAGE, "inlay"),
        (Path(sys.prefix), "python"),
        (Path(sys.base_prefix), "python"),
        (Path.home(), "~"),
    ]


def _each_once(found: re.Match[str]) -> str:
    return " or ".join(dict.fromkeys(found[0].split(" or ")))
