"""The protocol of ComfyUI's web editor on our server: graphs, queue, history, files, and what happens.

The editor itself is the package `comfyui-frontend-package`, which the user installs; its files are served as they are.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..service import Service


def mount(app: "FastAPI", service: "Service") -> None:
    """Add the routes of the editor to an application."""
    from .routes import add_routes

    add_routes(app, service)
