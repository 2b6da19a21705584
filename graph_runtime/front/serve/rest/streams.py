"""Events as server-sent events and over a WebSocket."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from ..events import END
from ..json_data import Json
from ..records import ENDED, Run
from ..service import Service

PULSE = 15.0  # seconds after which a silent stream says that it is alive


def line(event: Json) -> str:
    """An event as text."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


async def stream(
    service: Service, *, run: str | None, client: str | None = None, after: int | None = None
) -> AsyncGenerator[Json | None, None]:
    """Events as they come; None when nothing came for a while. Ends when the client is too slow."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(ready.set)
        except RuntimeError:  # the server ends
            listener.close()

    listener = service.subscribe(wake, run=run, client=client, after=after)
    try:
        ready.set()
        while not listener.behind:
            try:
                async with asyncio.timeout(PULSE):  # `wait_for` makes a task of each wait
                    await ready.wait()
            except TimeoutError:
                yield None
                continue
            ready.clear()
            for event in listener.take():
                yield event
    finally:
        listener.close()


def past_events(service: Service, run: Run, after: int | None) -> list[Json]:
    """The events of a run that has ended; without them, as after a restart, how it ended."""
    listener = service.subscribe(lambda: None, run=run.id, after=after or 0)
    listener.close()
    kept = listener.take()
    if kept or after is not None:
        return list(kept)
    return [{"id": 0, "run": run.id, "kind": run.state, "results": len(run.results)}]


async def run_events(service: Service, run: Run, after: int | None) -> AsyncIterator[str]:
    """The events of one run, as server-sent events; ends with the run."""
    yield "retry: 1000\n\n"
    if run.state in ENDED:
        for past in past_events(service, run, after):
            yield f"id: {past['id']}\ndata: {line(past)}\n\n"
        return
    async with aclosing(stream(service, run=run.id, after=after or 0)) as events:
        async for event in events:
            if event is None:
                yield ": alive\n\n"
                continue
            yield f"id: {event['id']}\ndata: {line(event)}\n\n"
            if event["kind"] in END:
                return


async def socket_events(
    service: Service, socket: WebSocket, run: str | None, client: str | None, after: int | None
) -> None:
    """Send events until the client goes."""
    await socket.accept()

    async def gone() -> None:
        while True:
            await socket.receive_text()

    async def send() -> None:
        async with aclosing(stream(service, run=run, client=client, after=after)) as events:
            async for event in events:
                if event is not None:
                    await socket.send_text(line(event))

    tasks = [asyncio.create_task(gone()), asyncio.create_task(send())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception) and not isinstance(found, (WebSocketDisconnect, RuntimeError)):
                raise found
    with suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
        await socket.close()
