"""Start the server: folders, socket, workers, web framework, in an order that lets it listen early."""

import contextlib
import gc
import importlib.util
import logging
import os
import socket
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

from ...core.errors import WorkflowError, clean
from .service import Service
from .settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

NEEDED = ("fastapi", "uvicorn", "websockets")


def require_packages() -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        WorkflowError: names them, and the command that installs them.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise WorkflowError.of(
            None,
            found=f"no {', '.join(missing)} here",
            expected="the packages of the extra `serve`",
            fix=f"{sys.executable} -m pip install {' '.join(NEEDED)}",
        )


def serve(settings: Settings, *, show: bool = False) -> int:
    """Serve until the process is told to end.

    Args:
        settings: of the server.
        show: open a browser.

    Raises:
        WorkflowError: a package is missing, the address cannot be used, or the folders cannot.
    """
    require_packages()
    service = Service(settings)
    listening = _listen(settings)
    service.start()  # its workers import torch while this process imports the web framework
    os.chdir(service.settings.here)  # relative names from the wire mean nothing in the folder where it was started
    try:
        import uvicorn

        from .app import create_app

        app, token = _guarded(create_app(service), settings)
        gc.freeze()  # what is there now stays: it is not looked through again and again
        gc.enable()  # commands that answer at once go without
        address = _address(settings, listening)
        with_token = f"{address}/?token={token}" if token else address
        server = uvicorn.Server(config_of(app))
        print(
            f"inlay serve: {clean(with_token)}   results: {clean(str(service.settings.out))}",
            file=sys.stderr,
            flush=True,
        )
        if show:
            threading.Timer(0.2, webbrowser.open, (with_token,)).start()
        logging.getLogger("inlay").setLevel(logging.INFO)
        server.run(sockets=[listening])
    finally:
        with contextlib.suppress(OSError):
            listening.close()
        service.stop()
    return 0


def config_of(app: "ASGIApp", grace: int = 3) -> "uvicorn.Config":
    """How uvicorn serves the application; at the end, answers have `grace` seconds."""
    import uvicorn

    from .patience import Patience

    return uvicorn.Config(
        app,
        log_level="warning",
        http=Patience,
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # events are small: packing each takes longer than sending it
        access_log=False,
        timeout_graceful_shutdown=grace,
    )


def _guarded(app: "ASGIApp", settings: Settings) -> "tuple[ASGIApp, str | None]":
    """The application behind the guard, and the token that clients must show."""
    from .access import make_access
    from .bodies import BodyRules
    from .guard import Guard

    access = make_access(settings.host, settings.token, tuple(settings.hosts))
    return Guard(app, access, BodyRules(settings.limits.upload_bytes)), access.token


def _listen(settings: Settings) -> socket.socket:
    """A socket that listens.

    Raises:
        WorkflowError: the address or the port cannot be used.
    """
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio then sends without delay
        if sys.platform != "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, settings.port))
        made.listen(128)
    except socket.gaierror as error:
        raise WorkflowError.of(
            "--host",
            found=f"{settings.host}: {error.strerror}",
            expected="an address of this machine",
            fix="leave it out for this machine alone, or give 0.0.0.0 for all of its addresses",
        ) from None
    except (OSError, OverflowError) as error:
        raise WorkflowError.of(
            "--port" if getattr(error, "errno", None) else "--host",
            found=f"{settings.host}:{settings.port}: {getattr(error, 'strerror', None) or error}",
            expected="a free port of this machine",
            fix="choose another with --port, or 0 for any free one",
        ) from None
    return made


def _address(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"
