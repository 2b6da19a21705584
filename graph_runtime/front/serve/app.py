"""The web application: routes, refusals as JSON, and the rooms that others mount.

`page_files.page_routes()` is the page at `/`; a package `editor` with a function `mount(app, service)` adds its routes;
the guard in `guard.py` stands before everything. The server starts without any of them.
"""

import importlib
import importlib.util
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ...core.database import DatabaseUnusable
from ...core.disk_errors import disk_error, explain
from ...core.errors import Problem, WorkflowError, clean, shorten
from .rest import files, library, runs
from .rest.answers import problems_json, refusal
from .service import Away, Busy, Service, Unknown

LOG = logging.getLogger("inlay")


def create_app(service: Service) -> FastAPI:
    """The application of a service, which it starts and stops."""
    from .... import __version__

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.stop()

    app = FastAPI(
        title="inlay serve",
        version=__version__,
        summary="Run workflows: a queue, uploads, results, history and events.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    _refuse(app, service)
    for routes in (runs, files, library):
        app.include_router(routes.router(service))
    if service.settings.editor and _is_there("editor"):
        importlib.import_module(".editor", __package__).mount(app, service)
    if _is_there("page_files"):
        app.include_router(importlib.import_module(".page_files", __package__).page_routes())
    return app


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f"{__package__}.{name}") is not None


def _refuse(app: FastAPI, service: Service) -> None:
    """Every refusal is JSON with problems."""

    @app.exception_handler(WorkflowError)
    def wrong(request: Request, error: WorkflowError) -> Response:
        return JSONResponse(refusal(service.discreet.error(error)), 422)

    @app.exception_handler(Unknown)
    def unknown(request: Request, error: Unknown) -> Response:
        return _problem(
            404, f"no such thing: {error}", "one that is there", "see /v1/runs, /v1/workflows and /v1/nodes"
        )

    @app.exception_handler(Busy)
    def busy(request: Request, error: Busy) -> Response:
        status = 503 if isinstance(error, Away) else 409 if error.problem.port == "run" else 429
        return JSONResponse(problems_json([error.problem]), status)

    @app.exception_handler(DatabaseUnusable)
    def unusable(request: Request, error: DatabaseUnusable) -> Response:
        return _problem(503, f"{error.path.name}: {error.why}", "a database that can be used", "try again in a minute")

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = [
            Problem(
                None,
                ".".join(str(part) for part in one["loc"]),
                shorten(one.get("input")),
                str(one["msg"]),
                "see /v1/openapi.json",
            )
            for one in error.errors()
        ]
        return JSONResponse(problems_json(problems), 422)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        found = f"{request.method} {clean(request.url.path)[:80]}"
        return _problem(
            error.status_code,
            f"{found}: {error.detail}",
            "a path of this server",
            "see /v1/openapi.json",
            error.headers,
        )

    @app.exception_handler(OSError)
    def of_the_disk(request: Request, error: OSError) -> Response:
        cause = disk_error(error)
        if cause is None:
            raise error
        found, expected, fix = map(service.discreet.text, explain(cause))
        LOG.error("%s", clean(str(error)))
        return _problem(507, found, expected, fix)

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> Response:
        LOG.error("an unforeseen error", exc_info=error)
        return _problem(
            500, f"an unforeseen {type(error).__name__}", "an answer", "please report it, with what the server printed"
        )


def _problem(status: int, found: str, expected: str, fix: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(problems_json([Problem(None, None, found, expected, fix)]), status, headers)
