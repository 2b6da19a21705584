"""`inlay serve`: a queue of runs behind HTTP, with a page and, if it is installed, the graph editor."""

import argparse
from pathlib import Path

from ...core.errors import WorkflowError
from ...core.user_paths import expand
from .parser import AddCommand, Once


def add_serve(add: AddCommand) -> None:
    """The parser of `inlay serve`."""
    parser = add("serve", _serve, "serve a page with a brush, the graph editor, and a queue of runs over HTTP")
    one = parser.add_argument
    one("--host", action=Once, default="127.0.0.1", help="the address to listen on (default: this machine alone)")
    one("--port", action=Once, type=_port, default=8210, metavar="N", help="the port; 0 for a free one (default: 8210)")
    one("--token", action=Once, metavar="TEXT", help="what clients must show; made and printed where one is needed")
    one("--allow-host", action="append", default=[], metavar="NAME", help="a name by which clients may call it")
    one("--out", action=Once, default="inlay-out", metavar="DIR", help="the folder for results (default: ./inlay-out)")
    one("--inputs", action=Once, metavar="DIR", help="a folder whose files workflows may read")
    one(
        "--device",
        action=Once,
        default="auto",
        help="auto, cpu, cuda:0, cuda:0,cuda:1 … (default: auto, which is every GPU)",
    )
    one("--memory", action=Once, metavar="SIZE", help='the most memory that runs may use on a device, e.g. "6GB"')
    one("--jobs", action=Once, type=_count, metavar="N", help="runs at once on a processor, or a cluster (default: 1)")
    one("--engine", action=Once, default="local", metavar="NAME", help="local, or ray: a cluster makes the runs")
    one("--ray-address", action=Once, metavar="HOST:PORT", help="of the cluster (default: RAY_ADDRESS, or one here)")
    one("--no-cache", action="store_true", help="compute everything again and store no results")
    one("--max-upload", action=Once, default="256MB", metavar="SIZE", help="of one file (default: 256MB)")
    one("--upload-space", action=Once, default="10GB", metavar="SIZE", help="of all pictures sent (default: 10GB)")
    one("--queue", action=Once, type=_many, default=2000, metavar="N", help="runs that may wait (default: 2000)")
    one("--run-time", action=Once, type=_seconds, metavar="S", help="seconds that a run may take (default: no limit)")
    one("--open", action="store_true", help="open the page in a browser")
    one("--editor", action=argparse.BooleanOptionalAction, default=True, help="serve the graph editor, if installed")


def _serve(options: argparse.Namespace, rest: list[str]) -> int:
    from ..device import parse_memory, parse_size
    from ..serve.run import serve
    from ..serve.settings import Limits, Settings
    from ..sweep.engine import engine_of

    parse_memory(options.memory)
    engine_of(options.engine, options.jobs, options.ray_address)
    inputs = None if options.inputs is None else expand(options.inputs)
    if inputs is not None and not inputs.is_dir():
        raise WorkflowError.of("--inputs", found=f"no such folder: {inputs}", expected="a folder", fix="check the name")
    limits = Limits(
        upload_bytes=parse_size(options.max_upload, "--max-upload", "256MB or 1GB"),
        space_bytes=parse_size(options.upload_space, "--upload-space", "10GB or 500MB"),
        queue=options.queue,
        run_seconds=options.run_time,
    )
    settings = Settings(
        out=Path(expand(options.out)),
        inputs=inputs,
        host=options.host,
        port=options.port,
        token=options.token,
        hosts=tuple(options.allow_host),
        editor=options.editor,
        device=options.device,
        memory=options.memory,
        workers=options.jobs or 0,
        engine=options.engine,
        ray_address=options.ray_address,
        cache=not options.no_cache,
        limits=limits,
    )
    return serve(settings, show=options.open)


def _number(text: str, least: int, most: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}, from {least} to {most}")
    return int(text)


def _port(text: str) -> int:
    return _number(text, 0, 65535, "a port")


def _count(text: str) -> int:
    return _number(text, 1, 64, "a number of processes")


def _many(text: str) -> int:
    return _number(text, 1, 1_000_000, "a number of runs")


def _seconds(text: str) -> float:
    return float(_number(text, 1, 10_000_000, "a number of seconds"))
