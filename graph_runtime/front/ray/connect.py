"""Connect to a Ray cluster, or start one on this machine; whatever is wrong is one clear error in bounded time."""

import importlib
import io
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ...core.errors import WorkflowError, shorten

if TYPE_CHECKING:
    from types import ModuleType

PATIENCE = 5.0  # seconds that an address may take to answer
STORE = 512 * 2**20  # bytes of the object store of a cluster that is started here; more goes to the disk
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # RFC 9113, 3.4, with empty settings
_MODE = "RAY_AUTH_MODE"
_SETTINGS = 4  # the type of the frame that answers it


def require_ray() -> "ModuleType":
    """Ray itself.

    Raises:
        WorkflowError: it is not installed.
    """
    if find_spec("ray") is None:
        raise WorkflowError.of(
            "--engine ray",
            found="no package ray",
            expected="Ray, on this machine and on every machine of the cluster",
            fix="pip install 'ray>=2.40': inlay's extra `ray`",
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return importlib.import_module("ray")


@contextmanager
def connected(address: str | None, cpus: int) -> "Iterator[ModuleType]":
    """In the block, this process is connected to a cluster; one that was started for it ends with it.

    Args:
        address: `host:port` or `ray://host:port`; empty or None: that in `RAY_ADDRESS`, else a cluster is started here.
        cpus: processors that a cluster started here offers.

    Raises:
        WorkflowError: Ray is not installed, or no cluster answers there.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    ray = require_ray()
    if ray.is_initialized():  # by whoever called us
        yield ray
        return
    if address not in ("local", "auto"):
        _require_answer(address)
    with _token_shown(address):
        try:
            _start(ray, address, cpus)
        except (Exception, SystemExit) as error:
            with suppress(Exception):
                ray.shutdown()
            raise _unreachable(address, str(error) if isinstance(error, Exception) else "no answer in time") from error
        try:
            with redirect_stdout(_NotFromRay(sys.stdout)):
                yield ray
        finally:
            ray.shutdown()


class _NotFromRay(io.TextIOBase):
    """Standard output without what Ray prints on it: results go there. What it says about lost workers, we say too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what another thread than Ray's own does."""
        return len(text) if threading.current_thread().name.startswith("ray_") else self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """That of the stream."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """That of the stream."""
        return self._stream.isatty()


def _start(ray: "ModuleType", address: str, cpus: int) -> None:
    if address == "local":
        here = {"num_cpus": cpus, "object_store_memory": STORE, "include_dashboard": False}
        ray.init(address="local", log_to_driver=False, logging_level=logging.ERROR, **here)
    else:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def _require_answer(address: str) -> None:
    """Refuse an address where no server of Ray's kind answers: Ray itself tries for two minutes.

    Raises:
        WorkflowError: says what is there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise WorkflowError.of(
            "--ray-address",
            found=shorten(address),
            expected="HOST:PORT, ray://HOST:PORT, auto or local",
            fix="`ray status` on a machine of the cluster tells whether it runs; its port is 6379 by default",
        )
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), PATIENCE)) as link:
            link.settimeout(PATIENCE)
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return
            link.sendall(_PREFACE)
            header = b""
            while len(header) < 9 and (more := link.recv(9 - len(header))):
                header += more
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None
    if len(header) < 9 or header[3] != _SETTINGS:
        raise _unreachable(address, "something else than Ray answers there")


@contextmanager
def _token_shown(address: str) -> Iterator[None]:
    """In the block, Ray shows the token of this user to a cluster that asks for one, and to no other.

    Shown to a cluster that asks for none, it breaks that: the cluster calls back without a token, Ray then hangs up,
    and its actors die. So an explicit address is asked first; Ray decides itself for a cluster on this machine.

    Raises:
        WorkflowError: the cluster asks for a token, and none is known, or another one.
    """
    before = os.environ.get(_MODE)
    _read_again()
    try:
        if address not in ("local", "auto") and not address.startswith("ray://") and _asks_for_token(address):
            if before is None and _has_token():
                os.environ[_MODE] = "token"
                _read_again()
            if os.environ.get(_MODE) == before or _asks_for_token(address):
                raise _unreachable(
                    address,
                    "it asks for a token, and shown was none or another",
                    "copy ~/.ray/auth_token from that machine, or set RAY_AUTH_TOKEN to what it holds",
                )
        yield
    finally:
        if before is None and os.environ.pop(_MODE, None) is not None:
            _read_again()


def _read_again() -> None:
    """Let Ray's native part read its variables, which it does once, when it is imported: perhaps long ago."""
    with suppress(ImportError, AttributeError):  # a release that knows of no tokens
        native = importlib.import_module("ray._raylet")
        native.Config.initialize("")
        native.AuthenticationTokenLoader.instance().reset_cache()


def _asks_for_token(address: str) -> bool:
    """True if a cluster refuses us as we are; whatever else is wrong is told when this process connects."""
    try:
        importlib.import_module("ray._raylet").GcsClient(address=address)
    except Exception as error:  # noqa: BLE001 - see above
        return type(error).__name__ == "AuthenticationError"
    return False


def _has_token() -> bool:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    with suppress(RuntimeError):  # nobody's home is known
        return (
            bool(os.environ.get("RAY_AUTH_TOKEN"))
            or (Path(path) if path else Path.home() / ".ray" / "auth_token").exists()
        )
    return False


def _unreachable(address: str, why: str, fix: str = "") -> WorkflowError:
    started = address == "local"
    return WorkflowError.of(
        "--engine ray" if started else "--ray-address",
        found=f"a cluster that does not start on this machine: {why}" if started else f"{shorten(address)}: {why}",
        expected="a Ray cluster that answers",
        fix=fix
        or (
            "see Ray's log"
            if started
            else "`ray status` there tells whether it runs; without an address, one is started here"
        ),
    )
