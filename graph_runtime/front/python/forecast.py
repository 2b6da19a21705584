"""What a run will need of a device's memory, before it runs."""

from ...core.memory.forecast import Forecast, forecast
from ..device import parse_memory, resolve_device
from ..kept_between_runs import kept_between_runs
from .keywords import refusing
from .load_workflow import LoadedWorkflow
from .preparation import require_memory


def forecast_loaded(loaded: LoadedWorkflow, *, device: str = "auto", memory: str | int | None = None) -> Forecast:
    """What each node of a loaded workflow will need; no weight is read and nothing runs.

    Raises:
        WorkflowError: the workflow has problems, or no such device.
    """
    with refusing():
        where, budget = resolve_device(device), parse_memory(memory)
        plan = loaded.plan()
        models, _ = kept_between_runs(where, budget)
        return forecast(plan, where, models.limit(where))


def require_room(loaded: LoadedWorkflow, found: Forecast, memory: str | int | None) -> None:
    """Refuse what a run would refuse.

    Raises:
        WorkflowError: it does not fit.
    """
    with refusing():
        require_memory(loaded.plan(), parse_memory(memory), found.device, found.limit)
