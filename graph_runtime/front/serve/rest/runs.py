"""Routes of runs: submit, check, list, cancel, delete, and what happens."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ..events import END
from ..json_data import Json
from ..records import ENDED
from ..requests import RunRequest
from ..service import Service
from .answers import problems_json, run_json
from .body import read_json
from .shapes import Problems, RunBody, Runs, RunShape, State
from .streams import past_events, run_events, socket_events, stream

REFUSED: dict[int | str, Json] = {status: {"model": Problems} for status in (404, 409, 413, 415, 422, 429, 503)}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": RunBody.model_json_schema()}}}}
Wait = Annotated[float, Query(ge=0, le=60, description="seconds to wait for its end")]
RunId = str


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["runs"], responses=REFUSED)

    async def asked(request: Request) -> RunRequest:
        body = await read_json(request, RunBody, service.settings.limits.body_bytes)
        return RunRequest(**body.model_dump())

    @routes.post("/runs", status_code=201, response_model=RunShape, openapi_extra=_BODY)
    async def submit(request: Request) -> Response:
        """Queue a run; nothing is queued if anything is wrong with it."""
        wanted = await asked(request)
        run = await asyncio.to_thread(lambda: run_json(service, service.submit(wanted)))
        return JSONResponse(run, 201, {"Location": f"/v1/runs/{run['id']}"})

    @routes.post("/check", response_model=Problems, openapi_extra=_BODY)
    async def check(request: Request) -> Response:
        """Find every problem of a run, without running it."""
        wanted = await asked(request)
        found = await asyncio.to_thread(service.check, wanted)
        return JSONResponse(problems_json(found.report, found.report.warnings))

    @routes.get("/runs", response_model=Runs)
    def listed(
        state: Annotated[list[State] | None, Query()] = None,
        client: Annotated[str | None, Query(max_length=64)] = None,
        before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """The history, the newest first."""
        runs = service.runs(state or (), client, before, limit)
        after = runs[-1].number if len(runs) == limit else None
        return JSONResponse({"runs": [run_json(service, run) for run in runs], "next": after})

    @routes.get("/runs/{id}", response_model=RunShape)
    async def one(id: RunId, wait: Wait = 0) -> Response:
        """A run; with `wait`, as soon as it has ended."""
        run = await asyncio.to_thread(service.run, id)
        if wait and run.state not in ENDED:
            await _ended(service, id, wait)
            run = await asyncio.to_thread(service.run, id)
        return JSONResponse(await asyncio.to_thread(run_json, service, run))

    @routes.post("/runs/{id}/cancel", response_model=RunShape)
    def cancel(id: RunId) -> Response:
        """Cancel a run: at once if it waits, at its next step if it runs."""
        return JSONResponse(run_json(service, service.cancel(id)))

    @routes.delete("/runs/{id}", status_code=204)
    def remove(id: RunId) -> Response:
        """Forget a run, and delete its results."""
        service.remove(id)
        return Response(status_code=204)

    @routes.get("/runs/{id}/workflow", response_model=Json)
    def workflow(id: RunId) -> Response:
        """The native workflow, with all values in it."""
        return Response(service.run(id).workflow, media_type="application/json")

    @routes.get("/runs/{id}/events", response_class=StreamingResponse)
    async def events(id: RunId, last_event_id: Annotated[str | None, Header(max_length=40)] = None) -> Response:
        """What happens to a run, as server-sent events; 204 when there is nothing more to tell."""
        run = await asyncio.to_thread(service.run, id)
        after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else None
        if run.state in ENDED and not past_events(service, run, after):
            return Response(status_code=204)
        return StreamingResponse(
            run_events(service, run, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.websocket("/events")
    async def socket(
        socket: WebSocket, run: str | None = None, client: str | None = None, after: int | None = None
    ) -> None:
        """What happens to all runs, to one, or to those of one client."""
        await socket_events(service, socket, run, client, after)

    return routes


async def _ended(service: Service, run_id: str, wait: float) -> None:
    """Wait for the end of a run, at most so many seconds."""
    try:
        async with asyncio.timeout(wait):
            async for event in stream(service, run=run_id, after=0):
                if event is not None and event["kind"] in END:
                    return
    except TimeoutError:
        return
