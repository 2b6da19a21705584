"""Check a workflow that is already loaded, with the user's values in it."""

import sys
from collections.abc import Callable
from importlib.util import find_spec

from ...core.check.findings import Report
from ...core.errors import WorkflowError, missing_package
from ..device import parse_memory, require_device, resolve_device, resolve_devices
from .keywords import refusing
from .load_workflow import LoadedWorkflow
from .preparation import require_devices, require_memory, require_writable_output


def check_loaded(loaded: LoadedWorkflow, *, device: str = "auto", memory: str | int | None = None) -> Report:
    """`check` for a workflow that is already loaded."""
    report = Report()

    def check_plan() -> None:
        plan = loaded.plan()
        report.warnings += loaded.held.warnings + plan.warnings
        loaded.held.require_pictures_only(plan)
        require_writable_output(plan, loaded.out)
        require_devices(plan, lambda: resolve_devices(device))
        if (budget := parse_memory(memory)) is not None:
            require_memory(plan, budget, resolve_device(device))

    return take_from(
        report, _require_libraries, check_plan, lambda: require_device(device), lambda: parse_memory(memory)
    )


_found: set[str] = set()  # libraries that are installed


def _require_libraries() -> None:
    """Refuse what every run imports and is not installed; the check itself may do without.

    Raises:
        WorkflowError: names the package and the command that installs it.
    """
    for name in ("torch", "jaxtyping"):
        try:
            if name not in sys.modules and name not in _found and find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            _found.add(name)
        except ImportError as error:
            if (missing := missing_package(error)) is not None:
                found, expected, fix = missing
                raise WorkflowError.of(None, found=found, expected=expected, fix=fix) from error


def take_from(report: Report, *checks: Callable[[], object]) -> Report:
    """Add the problems that checks raise."""
    for one in checks:
        try:
            with refusing():
                one()
        except WorkflowError as error:
            report.take(error)
    return report
