"""The page at `/`: plain files, and the sample photo. The page asks the REST interface for all else."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from ..installed import shipped_samples

FOLDER = Path(__file__).parent / "page"
SAMPLE = "photo.jpg"
#: A browser asks each time whether a file has changed: after an update, no old part stays with new ones.
_FRESH = {"Cache-Control": "no-cache"}


def page_routes() -> APIRouter:
    """`/`, `/page/NAME` for each file of the page, and `/page/sample.jpg`."""
    routes = APIRouter(include_in_schema=False)
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _TYPES:
            _add(routes, "/" if path.name == "index.html" else f"/page/{path.name}", path)
    _add(routes, "/page/sample.jpg", shipped_samples()[SAMPLE])
    return routes


#: Not the system's table of types: it may lack or change some.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".jpg": "image/jpeg",
}


def _add(routes: APIRouter, place: str, path: Path) -> None:
    def send() -> FileResponse:
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=_FRESH)

    routes.add_api_route(place, send, methods=["GET", "HEAD"])
