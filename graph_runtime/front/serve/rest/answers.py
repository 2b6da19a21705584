"""Runs, uploads and problems as the JSON that clients get."""

from collections.abc import Iterable

from ....core.errors import Problem, WorkflowError
from ....core.events import Warned
from ...cli.json_output import problem_json
from ..json_data import Json
from ..records import Run
from ..service import Service


def problems_json(problems: Iterable[Problem], warnings: Iterable[Warned] = ()) -> Json:
    """Problems as every refusal has them."""
    from ...cli.json_output import warning_json

    return {
        "problems": [{**problem_json(one), "text": str(one)} for one in problems],
        "warnings": [warning_json(one) for one in warnings],
    }


def refusal(error: WorkflowError) -> Json:
    """The body of an answer for what was refused."""
    return problems_json(error.problems, error.warnings)


def run_json(service: Service, run: Run) -> Json:
    """A run as clients see it."""
    found = run.found
    problems = [{**one, "text": _text(one)} for one in found.get("problems", ())]
    return {
        "id": run.id,
        "number": run.number,
        "client": run.client,
        "title": run.title,
        "state": run.state,
        "position": service.position(run),
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "seconds": found.get("seconds"),
        "progress": service.progress(run) if run.state == "running" else None,
        "results": [result_json(run.id, number, facts) for number, facts in enumerate(run.results, 1)],
        "values": found.get("values", {}),
        "problems": problems,
        "warnings": found.get("warnings") or run.more.get("warnings", []),
        "memory": found.get("memory") or {},
        "names": run.more.get("names", {}),
        "workflow": f"/v1/runs/{run.id}/workflow",
    }


def _text(problem: Json) -> str:
    return str(Problem(problem["node"], problem["port"], problem["found"], problem["expected"], problem["fix"]))


def result_json(run_id: str, number: int, facts: Json) -> Json:
    """A result as clients see it."""
    url = f"/v1/runs/{run_id}/results/{number}"
    shown = {key: facts[key] for key in ("name", "node", "output", "kind", "media", "bytes", "width", "height")}
    return {
        "number": number,
        **shown,
        "url": None if facts["kind"] == "folder" else url,
        "thumbnail": f"{url}/thumbnail" if facts["kind"] == "image" else None,
    }


def upload_json(facts: Json) -> Json:
    """An upload as clients see it."""
    url = f"/v1/uploads/{facts['id']}"
    return {**facts, "url": url, "thumbnail": f"{url}/thumbnail"}
