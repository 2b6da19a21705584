"""One run of a server where it is made: in a process beside it or on another machine, and what became of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import Cancelled, InlayError, NodeError, Problem, WorkflowError, first_line
from ...core.events import CancelToken
from ...core.memory.account import account
from ...core.memory.device_lost import explanation, lost_device
from ..cli.json_output import problem_json, warning_json
from .json_data import Json
from .relay import Relay

if TYPE_CHECKING:
    from ...core.run.plan import Plan
    from ..python.load_workflow import LoadedWorkflow

_OF_A_SERVER = (
    "see what nvidia-smi or the system's log says of it; the server begins a new worker, so ask for the run again "
    "(what was finished is kept), or start the server with --device cpu until the device is back"
)


def ended_of(make: Callable[[], Json], relay: Relay) -> tuple[Json, bool]:
    """What became of a run, whatever happens to it; and whether its device is gone."""
    began, gone = time.perf_counter(), False
    try:
        ended = make()
    except Cancelled:
        ended = {"state": "cancelled"}
    except WorkflowError as error:
        ended = {
            "state": "failed",
            "problems": [problem_json(one) for one in error.problems],
            "warnings": [warning_json(one) for one in error.warnings],
        }
    except NodeError as error:
        gone = error.__cause__ is not None and lost_device(error.__cause__) is not None
        problem = replace(error.problem, fix=_OF_A_SERVER) if gone else error.problem
        ended = {"state": "failed", "problems": [problem_json(problem)]}
    except Exception as error:  # noqa: BLE001 - of one run: the worker goes on
        gone = lost_device(error) is not None
        ended = {"state": "failed", "problems": [problem_json(_unforeseen(error))]}
    ended["warnings"] = [*relay.warnings, *(one for one in ended.get("warnings", ()) if one not in relay.warnings)]
    ended["memory"] = account(relay.memory)
    ended["seconds"] = round(time.perf_counter() - began, 4)
    return ended, gone


def made(
    loaded: "LoadedWorkflow",
    plan: "Plan",
    *,
    device: str,
    memory: str | None,
    cache: bool,
    texts: Mapping[str, object] | None,
    relay: Relay,
    cancel: CancelToken,
) -> Json:
    """Make a run, and find what it made below the folder of `loaded`."""
    from ..python.run_loaded import run_loaded
    from .found import files_found, values_found

    out = Path(loaded.out)
    if any(step.spec.effects for step in plan.steps):
        out.mkdir(parents=True, exist_ok=True)
    result = run_loaded(
        loaded,
        planned=plan,
        device=device,
        memory=memory,
        cache=cache,
        texts=texts,
        listeners=[relay],
        cancel=cancel,
    )
    outputs = {str(file.path): name for name, files in result.files.items() for file in files}
    return {
        "state": "done",
        "files": files_found(relay.saved, outputs, out),
        "values": values_found(result.outputs),
    }


def _unforeseen(error: Exception) -> Problem:
    from ...core.disk_errors import disk_error, explain

    if (said := lost_device(error)) is not None:  # outside of a node, as while weights are moved
        found, expected, _ = explanation("the device", said)
        return Problem(None, "device", found, expected, _OF_A_SERVER)
    if isinstance(error, InlayError):
        return Problem(None, None, first_line(error), "a run without an error", "see the message")
    if (cause := disk_error(error)) is not None:
        return Problem(None, None, *explain(cause))
    return Problem(
        None,
        None,
        f"an unforeseen {type(error).__name__}: {first_line(error)}",
        "a workflow that can be run",
        "run it with `inlay run … --traceback`, and please report it",
    )
