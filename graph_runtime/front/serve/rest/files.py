"""Routes of files: uploads, and the results of runs. Every file is sent with its own bytes."""

import asyncio
import base64
from pathlib import Path
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from ..json_data import Json
from ..service import Service, Unknown
from ..uploads import TYPES, too_large
from .answers import upload_json
from .runs import REFUSED
from .shapes import MaskShape, UploadShape

_BODY: Json = {
    "requestBody": {
        "required": True,
        "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in TYPES},
    },
    "parameters": [
        {
            "name": "X-Filename",
            "in": "header",
            "required": False,
            "description": "percent-encoded, where a header cannot hold it",
            "schema": {"type": "string", "maxLength": 300},
        }
    ],
}
#: Types that a browser shows without running anything in them; everything else is a download.
_SHOWN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff"})
_PICTURES: dict[int | str, Json] = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
    **REFUSED,
}


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["files"], responses=REFUSED)

    @routes.post("/uploads", status_code=201, response_model=UploadShape, openapi_extra=_BODY)
    async def send(request: Request) -> Response:
        """Send a picture: its bytes are the body. It counts once all of its pixels were decoded."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > service.settings.limits.upload_bytes:
            raise too_large(service.settings.limits.upload_bytes)
        name = unquote(request.headers.get("x-filename", "")) or None  # a header cannot hold every letter as it is
        media = request.headers.get("content-type", "")
        with service.receiving():
            upload = await asyncio.to_thread(service.uploads.begin, media, name)
            try:
                async for part in request.stream():
                    upload.write(part)
                facts = await service.decoded(lambda: service.uploads.finish(upload))
            finally:
                upload.discard()
        return JSONResponse(upload_json(facts), 201, {"Location": f"/v1/uploads/{facts['id']}"})

    @routes.get("/uploads/{id}", response_class=FileResponse, responses=_PICTURES)
    def upload(id: str) -> Response:
        """The very bytes that were sent."""
        return _file(service.uploads.file(id), f"an upload {id[:80]!r}")

    @routes.get("/uploads/{id}/facts", response_model=UploadShape)
    def facts(id: str) -> Response:
        """What is known of an upload."""
        found = service.uploads.facts(id)
        if found is None:
            raise Unknown(f"an upload {id[:80]!r}")
        return JSONResponse(upload_json(found))

    @routes.get("/uploads/{id}/thumbnail", response_class=FileResponse, responses=_PICTURES)
    def upload_thumbnail(id: str) -> Response:
        """A small JPEG of it, in sRGB."""
        return _thumbnail(service.uploads.thumbnail(id), f"an upload {id[:80]!r}")

    @routes.get("/uploads/{id}/mask", response_model=MaskShape)
    async def mask(id: str) -> Response:
        """The mask in it, as mask.load reads it with channel=drawn: how a mask of any kind is painted on."""
        found = await service.decoded(lambda: service.uploads.mask(id))
        if found is None:
            raise Unknown(f"an upload {id[:80]!r}")
        data = "data:image/png;base64," + base64.b64encode(found[0]).decode()
        warnings = [{"node": None, "message": note} for note in found[1]]
        return JSONResponse({"mask": data, "warnings": warnings})

    @routes.delete("/uploads/{id}", status_code=204)
    def remove(id: str) -> Response:
        """Delete an upload."""
        if not service.uploads.remove(id):
            raise Unknown(f"an upload {id[:80]!r}")
        return Response(status_code=204)

    @routes.get("/runs/{id}/results/{number}", response_class=FileResponse, responses=_PICTURES)
    def result(id: str, number: int) -> Response:
        """The file that a run made, with its own bytes."""
        return _file(service.results.file(id, number), f"result {number} of run {id[:80]!r}")

    @routes.get("/runs/{id}/results/{number}/thumbnail", response_class=FileResponse, responses=_PICTURES)
    async def thumbnail(id: str, number: int) -> Response:
        """A small JPEG of a picture, in sRGB."""
        made = await asyncio.to_thread(service.results.made_thumbnail, id, number)
        found = made or await service.decoded(lambda: service.results.thumbnail(id, number))
        return _thumbnail(found, f"a picture {number} of run {id[:80]!r}")

    return routes


def _file(found: tuple[Path, Json] | None, what: str) -> Response:
    if found is None or not found[0].is_file():
        raise Unknown(what)
    path, facts = found
    shown = facts["media"] in _SHOWN
    return FileResponse(
        path,
        media_type=facts["media"] if shown else "application/octet-stream",
        headers={
            "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(facts['name'])}",
            "Cache-Control": "private, max-age=31536000, immutable",
        },
    )


def _thumbnail(path: Path | None, what: str) -> Response:
    if path is None or not path.is_file():
        raise Unknown(what)
    return FileResponse(
        path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=31536000, immutable"}
    )
