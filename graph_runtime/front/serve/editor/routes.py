"""The calls of the editor: under `/editor/api` for its own page, under `/api`, and at the root as scripts have them."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from ....core.bounded.json_text import decode
from ....core.errors import WorkflowError
from ...comfy.formats.sent import Sent, read_sent
from ..json_data import Json
from ..service import Busy, Service
from . import about, file_routes, prompt, static, templates
from .definitions import Definitions, replacements
from .history import STATES, history_item, job, queue_item
from .places import Places
from .records import History
from .socket import FEATURES, Hub

BEFORE_ASKED = 1.0  # seconds after the start: then the nodes are described, before an editor asks for them

ENDS = ("done", "failed", "cancelled")
Answer = Callable[[Request], Awaitable[Response]]
LARGEST = 32 * 2**20  # bytes of a graph


async def body_of(request: Request) -> object:
    """The body as JSON; None for what is none.

    Raises:
        WorkflowError: it goes beyond a limit.
    """
    raw = await request.body()
    return decode(raw, "the body") if raw.strip() else None


class Calls:
    """What the calls about runs do.

    Args:
        service: the queue.
        hub: the pages that are open.
        places: the editor's folders.
    """

    def __init__(self, service: Service, hub: Hub, places: Places) -> None:
        self.service, self.hub = service, hub
        self.definitions = Definitions(service.settings)
        self.history = History(service, places)

    # graphs

    async def prompt(self, request: Request) -> Response:
        """Queue a graph, or say what is wrong with which node."""
        try:
            answer = await asyncio.to_thread(self._submit, await request.body())
        except WorkflowError as error:
            unreadable = prompt.Refused("invalid_prompt", "The graph cannot be read", str(error.problems[0]))
            return JSONResponse(unreadable.answer, 400)
        except prompt.Refused as refused:
            return JSONResponse(refused.answer, 400)
        except Busy as error:
            full = prompt.Refused("queue_full", "The queue is full", str(error.problem))
            return JSONResponse(full.answer, 429)
        return JSONResponse(answer)

    def _submit(self, raw: bytes) -> Json:
        """Queue what is sound of a graph; the nodes that spoil other outputs are marked."""
        definitions = self.definitions.all()
        graph = prompt.Graph(read_sent(raw, "the body") if raw.strip() else Sent({}), definitions)
        outputs = graph.outputs
        while True:
            try:
                asked = graph.asked(outputs)
            except prompt.Refused as refused:
                if refused.rest is None:
                    raise
                found = self.service.check(refused.rest.request)
                raise prompt.with_rest(refused, list(found.report), definitions) from None
            try:
                if asked.problems:
                    raise WorkflowError(list(self.service.check(asked.request).report))
                run = self.service.submit(asked.request)
            except WorkflowError as error:
                outputs = graph.sound(outputs, prompt.refused(error.problems, asked, definitions))
                continue
            return {"prompt_id": run.id, "number": run.number, "node_errors": graph.marked}

    async def left(self, request: Request) -> Response:
        """How many runs are left."""
        return JSONResponse(self.hub.status_now())

    async def object_info(self, request: Request) -> Response:
        """All nodes."""
        return Response(await asyncio.to_thread(self.definitions.json), media_type="application/json")

    async def one_object_info(self, request: Request) -> Response:
        """One node."""
        name = request.path_params["name"]
        found = (await asyncio.to_thread(self.definitions.all)).get(name)
        return JSONResponse({} if found is None else {name: found})

    async def replacements(self, request: Request) -> Response:
        """The nodes that were renamed."""
        return JSONResponse(await asyncio.to_thread(replacements))

    # queue and history

    async def queue(self, request: Request) -> Response:
        """What runs and what waits."""
        running = self.history.runs(["running"])
        waiting = self.history.runs(["queued"])
        return JSONResponse(
            {
                "queue_running": [queue_item(run) for run in reversed(running)],
                "queue_pending": [queue_item(run) for run in reversed(waiting)],
            }
        )

    async def change_queue(self, request: Request) -> Response:
        """Take runs that wait out of the queue."""
        given = await body_of(request)
        told = given if isinstance(given, dict) else {}
        await asyncio.to_thread(self._take_from_queue, _ids(told.get("delete")), bool(told.get("clear")))
        return Response()

    def _take_from_queue(self, ids: list[str], everything: bool) -> None:
        for run in self.history.runs(["queued"]):
            if everything or run.id in ids:
                self.service.cancel(run.id)
                self.history.take_out([run.id])

    async def interrupt(self, request: Request) -> Response:
        """Stop what runs, or one run if it is named."""
        given = await body_of(request)
        wanted = given.get("prompt_id") if isinstance(given, dict) else None
        for run in self.history.runs(["running"]):
            if wanted is None or run.id == wanted:
                await asyncio.to_thread(self.service.cancel, run.id)
        return Response()

    async def free(self, request: Request) -> Response:
        """Let go of weights, or of all that is kept in memory, once what runs has ended."""
        given = await body_of(request)
        told = given if isinstance(given, dict) else {}
        if told.get("free_memory") is True or told.get("unload_models") is True:
            self.service.dispatcher.free(results=told.get("free_memory") is True)
        return Response()

    async def past(self, request: Request) -> Response:
        """The runs that have ended, the oldest first."""
        most, offset = _number(request, "max_items"), _number(request, "offset")
        runs = await asyncio.to_thread(self.history.runs, ENDS, most, offset or 0)
        return JSONResponse({run.id: history_item(run) for run in reversed(runs)})

    async def one_past(self, request: Request) -> Response:
        """One run, if it has ended."""
        run = self.history.run(request.path_params["id"])
        return JSONResponse({run.id: history_item(run)} if run is not None and run.state in ENDS else {})

    async def change_history(self, request: Request) -> Response:
        """Take runs out of the history; their results stay."""
        given = await body_of(request)
        told = given if isinstance(given, dict) else {}
        self.history.take_out(_ids(told.get("delete")), everything=bool(told.get("clear")))
        return Response()

    # jobs

    async def jobs(self, request: Request) -> Response:
        """Runs of any state, the newest first."""
        asked = [word.strip().lower() for word in request.query_params.get("status", "").split(",") if word.strip()]
        if wrong := [word for word in asked if word not in STATES]:
            text = f"Invalid status value(s): {', '.join(wrong)}. Valid values: {', '.join(STATES)}"
            return JSONResponse({"error": text}, 400)
        limit, offset = _number(request, "limit"), _number(request, "offset") or 0
        if limit == 0 or (limit is None and "limit" in request.query_params):
            return JSONResponse({"error": "limit must be a positive integer"}, 400)
        states = [STATES[word] for word in asked] or list(STATES.values())
        ordered = "sort_by" in request.query_params or "sort_order" in request.query_params
        most = None if limit is None or ordered else offset + limit + 1  # one more tells that there are more
        found = await asyncio.to_thread(self.history.runs, states, most)
        if request.query_params.get("sort_by") == "execution_duration":
            found.sort(key=lambda run: (run.ended or 0) - (run.started or 0) if run.ended else 0, reverse=True)
        if request.query_params.get("sort_order", "").lower() == "asc":
            found.reverse()
        page = found[offset:] if limit is None else found[offset : offset + limit]
        more = offset + len(page) < len(found)
        pages = {"offset": offset, "limit": limit, "total": len(found), "has_more": more}
        return JSONResponse({"jobs": [job(run) for run in page], "pagination": pages})

    async def one_job(self, request: Request) -> Response:
        """A run with its graph and its outputs."""
        run = self.history.run(request.path_params["id"])
        if run is None:
            return JSONResponse({"error": "Job not found"}, 404)
        return JSONResponse(await asyncio.to_thread(lambda: job(run, whole=True)))

    async def cancel_job(self, request: Request) -> Response:
        """Cancel a run, whatever its state."""
        return JSONResponse({"cancelled": await asyncio.to_thread(self._cancel, [request.path_params["id"]])})

    async def cancel_jobs(self, request: Request) -> Response:
        """Cancel several runs."""
        given = await body_of(request)
        ids = given.get("job_ids") if isinstance(given, dict) else None
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            return JSONResponse({"error": "job_ids must be a list of ids"}, 400)
        return JSONResponse({"cancelled": await asyncio.to_thread(self._cancel, ids)})

    def _cancel(self, ids: Iterable[str]) -> bool:
        cancelled = False
        for run_id in ids:
            run = self.history.run(run_id)
            if run is not None and run.state not in ENDS:
                self.service.cancel(run_id)
                cancelled = True
        return cancelled


def _ids(given: object) -> list[str]:
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _fixed(value: object) -> Answer:
    async def answer(request: Request) -> Response:
        return JSONResponse(value)

    return answer


def _about_machine(service: Service) -> dict[str, Answer]:
    async def stats(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(about.system_stats, service))

    async def models(request: Request) -> Response:
        found = await asyncio.to_thread(about.models_in, request.path_params["kind"])
        return Response(status_code=404) if found is None else JSONResponse(found)

    async def logs(request: Request) -> Response:
        return JSONResponse({"entries": [], "size": {"cols": 80, "rows": 24}})

    async def template(request: Request) -> Response:
        name, _, kind = request.path_params["file"].rpartition(".")
        if kind == "json":
            graph = await asyncio.to_thread(templates.graph, name)
            return Response(status_code=404) if graph is None else JSONResponse(graph)
        path = templates.picture(name) if kind == "jpg" else None
        return Response(status_code=404) if path is None else Response(path.read_bytes(), media_type="image/jpeg")

    async def template_names(request: Request) -> Response:
        return JSONResponse({"inlay": templates.names()})

    return {
        "/system_stats": stats,
        "/models": _fixed(about.model_folders()),
        "/models/{kind}": models,
        "/internal/logs": _fixed(""),
        "/internal/logs/raw": logs,
        "/workflow_templates": template_names,
        "/workflow_templates/inlay/{file}": template,
    }


#: Answers that are always the same: there is nothing of the kind here.
_NOTHING: dict[str, object] = {
    "/embeddings": [],
    "/extensions": list(static.EXTENSIONS),
    "/features": FEATURES,
    "/global_subgraphs": {},
    "/i18n": {},
    "/experiment/models": [],
    "/experiment/models/{kind}": [],
    "/internal/folder_paths": {},
    "/users": {"storage": "server", "migrated": True},
}


def add_routes(app: FastAPI, service: Service) -> None:
    """Add all calls of the editor, its sockets, and its files."""
    places, hub = Places(service.settings), Hub(service)
    calls = Calls(service, hub, places)
    files = file_routes.FileCalls(service, places)
    early = threading.Timer(BEFORE_ASKED, calls.definitions.all)
    early.daemon = True
    early.start()

    async def nothing_to_do(request: Request) -> Response:
        return Response()

    reading: dict[str, Answer] = {
        "/prompt": calls.left,
        "/object_info": calls.object_info,
        "/node_replacements": calls.replacements,
        "/object_info/{name}": calls.one_object_info,
        "/queue": calls.queue,
        "/history": calls.past,
        "/history/{id}": calls.one_past,
        "/jobs": calls.jobs,
        "/jobs/{id}": calls.one_job,
        **{path: _fixed(value) for path, value in _NOTHING.items()},
        **_about_machine(service),
        **files.reading(),
    }
    writing: dict[str, Answer] = {
        "/prompt": calls.prompt,
        "/queue": calls.change_queue,
        "/interrupt": calls.interrupt,
        "/free": calls.free,
        "/history": calls.change_history,
        "/jobs/cancel": calls.cancel_jobs,
        "/jobs/{id}/cancel": calls.cancel_job,
        **files.writing(),
    }
    router = APIRouter(include_in_schema=False)
    for path, answer in reading.items():
        router.add_api_route(path, answer, methods=["GET"])
    for path, answer in writing.items():
        router.add_api_route(path, answer, methods=["POST"])
    router.add_api_route("/internal/logs/subscribe", nothing_to_do, methods=["PATCH"])
    router.add_api_route("/userdata/{file:path}", files.delete, methods=["DELETE"])
    for prefix in ("/api", "/editor/api"):
        app.include_router(router, prefix=prefix)
    app.add_api_route("/editor/internal/files/{kind}", files.files, methods=["GET"], include_in_schema=False)
    _for_scripts(app, reading, writing)
    _pages(app, hub)


def _for_scripts(app: FastAPI, reading: dict[str, Answer], writing: dict[str, Answer]) -> None:
    """The calls that scripts for the host make, without a prefix."""
    read = ("/prompt", "/object_info", "/object_info/{name}", "/queue", "/history", "/history/{id}", "/view")
    for path in (*read, "/system_stats"):
        app.add_api_route(path, reading[path], methods=["GET"], include_in_schema=False)
    for path in ("/prompt", "/queue", "/interrupt", "/free", "/history", "/upload/image", "/upload/mask"):
        app.add_api_route(path, writing[path], methods=["POST"], include_in_schema=False)


def _pages(app: FastAPI, hub: Hub) -> None:
    async def talk(socket: WebSocket) -> None:
        await hub.serve(socket)

    async def file(path: str) -> Response:
        return await asyncio.to_thread(static.file_of_editor, path)

    async def unknown(path: str) -> Response:
        return PlainTextResponse(json.dumps({"error": "no such call here"}), 404, media_type="application/json")

    for path in ("/ws", "/editor/ws", "/api/ws", "/editor/api/ws"):
        app.add_api_websocket_route(path, talk)

    async def tab(request: Request) -> Response:
        return await asyncio.to_thread(static.picture_of_tab, request.url.path.removeprefix("/assets/"))

    for path in ("/assets/favicon.ico", "/assets/images/{path:path}"):
        app.add_api_route(path, tab, include_in_schema=False)
    app.add_api_route("/editor", static.to_editor, include_in_schema=False)
    for prefix in ("/api", "/editor/api"):
        app.add_api_route(
            f"{prefix}/{{path:path}}", unknown, methods=["GET", "POST", "DELETE"], include_in_schema=False
        )
    app.add_api_route("/editor/{path:path}", file, include_in_schema=False)
