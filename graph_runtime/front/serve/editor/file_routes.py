"""The editor's calls about files: pictures sent and shown, what it keeps for its user, and files of inlay's own."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from ....core.bounded.json_text import decode
from ....core.errors import InlayError, WorkflowError, first_line
from ....core.files import make_folder
from ...recipe.read import read_recipe
from ..json_data import Json
from ..service import Service
from . import pictures
from .definitions import pictures as pictures_to_choose
from .history import drawn
from .places import Outside, Places
from .userdata import Full, NoFile, Taken, UserData

if TYPE_CHECKING:
    from starlette.datastructures import FormData

Answer = Callable[[Request], Awaitable[Response]]


class FileCalls:
    """What the calls about files do.

    Args:
        service: whose results are shown.
        places: the editor's folders.
    """

    def __init__(self, service: Service, places: Places) -> None:
        self.service, self.places = service, places
        self.user = UserData(places)

    def reading(self) -> dict[str, Answer]:
        """The calls that read."""
        return {
            "/view": self.view,
            "/settings": self.settings,
            "/settings/{id}": self.setting,
            "/userdata": self.listed,
            "/v2/userdata": self.entries,
            "/userdata/{file:path}": self.read,
            "/view_metadata/{kind}": self.nothing_known,
            "/internal/files/{kind}": self.files,
        }

    def writing(self) -> dict[str, Answer]:
        """The calls that write."""
        return {
            "/upload/image": self.upload,
            "/upload/mask": self.upload_mask,
            "/settings": self.set_all,
            "/settings/{id}": self.set_one,
            "/userdata/{file:path}": self.write,
            "/inlay/open": self.open,
        }

    # pictures

    async def view(self, request: Request) -> Response:
        """A picture, or one of its channels."""
        query = request.query_params
        path = await asyncio.to_thread(pictures.picture_of, self.places, dict(query))
        if path is None:
            return Response(status_code=404 if query.get("filename") else 400)
        preview, channel = query.get("preview"), query.get("channel")
        if preview is None and channel not in ("rgb", "a"):
            return await asyncio.to_thread(pictures.shown, path, preview=None, channel=None)
        return await self.service.decoded(lambda: pictures.shown(path, preview=preview, channel=channel))

    async def upload(self, request: Request) -> Response:
        """Keep a picture."""
        return await self._sent(request, mask=False)

    async def upload_mask(self, request: Request) -> Response:
        """Keep a painted mask with the pixels of its picture."""
        return await self._sent(request, mask=True)

    async def _sent(self, request: Request, *, mask: bool) -> Response:
        with self.service.receiving():
            async with request.form(max_files=1, max_fields=16) as form:
                return await self.service.decoded(lambda: self._taken(form, mask=mask))

    def _taken(self, form: "FormData", *, mask: bool) -> Response:
        file = form.get("image")
        if file is None or isinstance(file, str) or not file.filename:
            return PlainTextResponse("no file `image` in the form", 400)
        subfolder, overwrite = str(form.get("subfolder") or ""), form.get("overwrite") in ("true", "1")
        room = self.service.uploads.room
        name = file.filename.replace("\\", "/").rpartition("/")[2]
        try:
            if not mask:
                found = pictures.take(self.places, room, name, subfolder, file.file, overwrite=overwrite)
            else:
                original = decode(str(form.get("original_ref") or "null"), "original_ref")
                if not isinstance(original, dict):
                    return PlainTextResponse("no `original_ref` in the form", 400)
                found = pictures.take_mask(self.places, room, name, subfolder, file.file, original, overwrite=overwrite)
        except WorkflowError as error:
            return PlainTextResponse(str(error.problems[0]), 400)
        except pictures.BadUpload as error:
            return PlainTextResponse(str(error), 400)
        return JSONResponse(found)

    async def files(self, request: Request) -> Response:
        """The newest results, or the pictures to choose from, as a list of names."""
        kind = request.path_params["kind"]
        if kind == "input":
            return JSONResponse(list(await asyncio.to_thread(pictures_to_choose, self.service.settings)))
        runs = self.service.runs(["done"], limit=100) if kind == "output" else []
        names = [f"{facts['file']} [output]" for run in runs for facts in run.results if facts["kind"] == "image"]
        return JSONResponse(names)

    async def nothing_known(self, request: Request) -> Response:
        """What a model's file says of itself: nothing is told."""
        return Response(status_code=404)

    # what the editor keeps

    async def settings(self, request: Request) -> Response:
        """All settings."""
        return JSONResponse(self.user.settings())

    async def setting(self, request: Request) -> Response:
        """One setting; null if it is not set."""
        return JSONResponse(self.user.settings().get(request.path_params["id"]))

    async def set_all(self, request: Request) -> Response:
        """Change settings."""
        given = decode(await request.body(), "the body")
        if not isinstance(given, dict):
            return PlainTextResponse("settings are a JSON object", 400)
        return await _of_files(lambda: self._set(given))

    async def set_one(self, request: Request) -> Response:
        """Change one setting."""
        value = decode(await request.body(), "the body")
        return await _of_files(lambda: self._set({request.path_params["id"]: value}))

    def _set(self, changed: Json) -> Response:
        self.user.set(changed)
        return Response()

    async def listed(self, request: Request) -> Response:
        """The files of a folder."""
        query = request.query_params
        folder = query.get("dir", "")
        if not folder:
            return PlainTextResponse("no `dir`", 400)

        def found() -> Response:
            root, paths = self.user.listed(folder, recurse=query.get("recurse", "").lower() == "true")
            if query.get("full_info", "").lower() == "true":
                return JSONResponse([self.user.facts(path, root) for path in paths])
            names = [path.relative_to(root).as_posix() for path in paths]
            split = query.get("split", "").lower() == "true"
            return JSONResponse([[name, *name.split("/")] for name in names] if split else names)

        return await _of_files(found)

    async def entries(self, request: Request) -> Response:
        """The files and folders below a folder."""
        return await _of_files(lambda: JSONResponse(self.user.entries(request.query_params.get("path", ""))))

    async def read(self, request: Request) -> Response:
        """A file that it keeps; its style sheet alone is shown as what it is."""
        name = request.path_params["file"]

        def found() -> Response:
            if (empty := self.user.empty(name)) is not None:
                return Response(empty, media_type="text/css" if name == "user.css" else "application/json")
            path = self.user.path(name)
            kind = "text/css" if name == "user.css" else "application/octet-stream"
            kind = "application/json" if path.suffix == ".json" else kind
            return FileResponse(path, media_type=kind, headers={"Content-Disposition": "attachment"})

        return await _of_files(found)

    async def write(self, request: Request) -> Response:
        """Write a file, or give one another name."""
        name, query = request.path_params["file"], request.query_params
        overwrite, whole = query.get("overwrite", "true") != "false", query.get("full_info", "").lower() == "true"
        data = await request.body()
        source, moved, to = _moved(request)

        def found() -> Response:
            if moved:
                path = self.user.move(source, to, overwrite=overwrite)
            else:
                path = self.user.write(name, data, overwrite=overwrite)
            facts = self.user.facts(path, self.user.root)
            return JSONResponse(facts if whole else facts["path"])

        return await _of_files(found)

    async def delete(self, request: Request) -> Response:
        """Delete a file."""

        def gone() -> Response:
            self.user.remove(request.path_params["file"])
            return Response(status_code=204)

        return await _of_files(gone)

    # inlay's own files

    async def open(self, request: Request) -> Response:
        """The graph that a file of inlay's own stands for: a workflow, or a picture that carries one."""
        with self.service.receiving():
            data = await request.body()
        json_given = request.headers.get("content-type", "").startswith("application/json")
        try:
            graph = await asyncio.to_thread(self._drawn, data, json_given)
        except InlayError as error:
            return PlainTextResponse(self._said(error), 422)
        return PlainTextResponse("no workflow of inlay's", 422) if graph is None else JSONResponse(graph)

    def _said(self, error: InlayError) -> str:
        problems = error.problems if isinstance(error, WorkflowError) else ()
        return self.service.discreet.text(str(problems[0]) if problems else first_line(error))

    def _drawn(self, data: bytes, json_given: bool) -> Json | None:
        if json_given:
            raw = decode(data, "the file")
            return drawn(raw) if isinstance(raw, dict) else None
        make_folder(self.places.pictures)
        path = self.places.pictures / f".{uuid.uuid4().hex}.part"
        try:
            path.write_bytes(data)
            return drawn(read_recipe(path)[0].model_dump())
        finally:
            path.unlink(missing_ok=True)


def _moved(request: Request) -> tuple[str, bool, str]:
    """The two names of `userdata/{file}/move/{dest}`, each of which may hold slashes that are written as `%2F`."""
    raw = request.scope.get("raw_path", b"").decode("latin-1")
    parts = raw.partition("/userdata/")[2].split("?")[0].split("/")
    moved = len(parts) == 3 and parts[1] == "move"
    return (unquote(parts[0]), True, unquote(parts[2])) if moved else ("", False, "")


async def _of_files(found: Callable[[], Response]) -> Response:
    """What a call about files answers if there is none, or its name leads out."""
    try:
        return await asyncio.to_thread(found)
    except Outside:
        return PlainTextResponse("a name below the user's own folder is expected", 403)
    except NoFile:
        return PlainTextResponse("there is no such file or folder", 404)
    except Full as error:
        return PlainTextResponse(str(error), 413)
    except Taken:
        return PlainTextResponse("there is a file of that name", 409)
