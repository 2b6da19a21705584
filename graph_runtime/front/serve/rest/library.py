"""Routes of what there is: shipped workflows, nodes, models, and the server itself."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ..json_data import Json
from ..service import Service
from . import choices
from .runs import REFUSED
from .shapes import Models, Nodes, Status, Workflows, WorkflowShape


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["library"], responses=REFUSED)

    @routes.get("/workflows", response_model=Workflows)
    def workflows() -> Response:
        """The shipped workflows."""
        return JSONResponse({"workflows": choices.workflows()})

    @routes.get("/workflows/{name}", response_model=WorkflowShape)
    def workflow(name: str) -> Response:
        """One of them, with what a person may set: kind, choices, bounds, default, and one sentence."""
        return JSONResponse(choices.workflow(name))

    @routes.get("/workflows/{name}/file", response_model=Json)
    def file(name: str) -> Response:
        """Its native file."""
        return Response(choices.workflow_file(name), media_type="application/json")

    @routes.get("/nodes", response_model=Nodes)
    def nodes() -> Response:
        """All nodes."""
        return JSONResponse({"nodes": choices.nodes()})

    @routes.get("/nodes/{id}", response_model=Json)
    def node(id: str) -> Response:
        """Everything about a node: sockets, settings, outputs, and the JSON Schema of its settings."""
        return JSONResponse(choices.node(id))

    @routes.get("/models", response_model=Models)
    def models() -> Response:
        """The models that need no download."""
        return JSONResponse({"models": choices.models()})

    @routes.get("/status", response_model=Status)
    def status() -> Response:
        """How the server is: its queue, its workers, its limits."""
        return JSONResponse(service.status())

    return routes
