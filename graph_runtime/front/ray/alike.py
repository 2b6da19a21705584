"""Which workers may make runs: those of this release whose results are the same bytes as those of the first one."""

from collections.abc import Callable

from ...core.errors import WorkflowError
from ..environment import environment_parts
from ..jobs.worker import Message

VERSION = "the version of "  # begins the parts of an environment that must be the same everywhere


class Alike:
    """Judges workers by what they say of themselves.

    Args:
        warn: told of a worker that is left out.

    Attributes:
        parts: of the first worker's environment; None before it was heard.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._own = environment_parts("cpu")
        self.parts: dict[str, str] | None = None

    def accept(self, hello: Message) -> bool:
        """Refuse other versions; leave out a worker whose results could be other bytes than those of the first one.

        Raises:
            WorkflowError: it has another version of inlay, or of what its results depend on.
        """
        node = str(hello["node"])
        if hello.get("error"):
            raise _refused(f"inlay does not start on {node}: {hello['error']}", self._own)
        parts: dict[str, str] = hello["parts"]
        others = [
            f"{name.removeprefix(VERSION)} {parts.get(name, 'missing')} (here {version})"
            for name, version in self._own.items()
            if name.startswith(VERSION) and parts.get(name) != version
        ]
        if others:
            raise _refused(f"{node} has {', '.join(others)}", self._own)
        if self.parts is None:
            self.parts = parts
        if parts != self.parts:
            names = sorted(name for name in parts if parts[name] != self.parts.get(name))
            self._warn(
                f"the worker on {node} is left out, because its results could be other bytes: {', '.join(names)} "
                "differ from those of the first worker"
            )
            return False
        return True


def _refused(found: str, own: dict[str, str]) -> WorkflowError:
    version = own[f"{VERSION}inlay"]
    return WorkflowError.of(
        "--engine ray",
        found=found,
        expected="the same versions on every machine of the cluster, so that results are the same bytes",
        fix=f"install inlay {version} and the same versions there; `inlay doctor` lists them",
    )
