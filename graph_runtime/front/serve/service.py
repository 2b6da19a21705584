"""The engine behind the routes: what is asked for is queued, made by workers, and kept. It knows no web framework."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from ...core.check.findings import Report
from ...core.errors import Problem, WorkflowError, clean, shorten
from ...core.leftovers import sweep
from ..cli.json_output import warning_json
from ..python.check_loaded import check_loaded
from .discreet import Discreet
from .dispatch import Dispatcher
from .editor_package import editor_files
from .events import Events, Subscription
from .json_data import Json
from .records import ENDED, STATES, Records, Run
from .requests import Places, Prepared, RunRequest, prepare, resolved
from .results import Results
from .settings import Settings, absolute, new_id
from .uploads import Uploads

T = TypeVar("T")


class Unknown(Exception):
    """There is no such run, upload, result or name."""


class Busy(Exception):
    """It cannot be done now; `problem` says why, and what to do."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class Away(Busy):
    """No run can be made now: the cluster that makes them does not answer."""


@dataclass(frozen=True)
class Checked:
    """A request that was checked.

    Attributes:
        report: the problems; its `warnings` are those that the run would start with.
        prepared: the workflow; None if it could not be made.
        request: as a worker is told it.
    """

    report: Report
    prepared: Prepared | None = None
    request: Json = field(default_factory=dict)


class Service:
    """A queue of runs, its workers, and what they made.

    Args:
        settings: of the server.

    Attributes:
        settings: with absolute folders.
        events: what happens.
        uploads: the files that clients sent.
        results: the files that runs made.
        discreet: how messages are told to clients.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        from dataclasses import replace

        given = settings or Settings()
        inputs = None if given.inputs is None else absolute(given.inputs)
        self.settings = replace(given, out=absolute(given.out), inputs=inputs, folder=absolute(given.folder))
        self.began = time.time()
        self.discreet = Discreet(self.settings)
        self.records = Records(self.settings.folder)
        self.events = Events()
        self.uploads = Uploads(self.settings, self.records)
        self.results = Results(self.settings, self.records)
        self._receiving = 0
        self._decoding = asyncio.Semaphore(1)  # pictures are large
        self.dispatcher = Dispatcher(self.settings, self.records, self.events)

    @property
    def places(self) -> Places:
        """The folders that a run may read, and where results are."""
        return Places(self.settings.out, tuple(self.settings.roots))

    def start(self) -> None:
        """Queue what was running when the last server ended, and start the workers.

        Raises:
            WorkflowError: the folders cannot be used, or another server uses them.
        """
        from .folders import hold_folders

        self._held = hold_folders(self.settings)
        sweep(self.settings.out)
        self.dispatcher.recover()
        self.uploads.tidy()
        self.dispatcher.start()

    def stop(self) -> None:
        """End the workers; what they were making is queued again at the next start."""
        self.dispatcher.stop()
        self.records.database.close()
        with suppress(AttributeError):
            self._held.release()

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """While a picture is being sent, by whichever call; of the thread of the event loop.

        Raises:
            Busy: as many as may be are under way.
        """
        most = self.settings.limits.sending
        if self._receiving >= most:
            fix = "wait until some are done"
            raise Busy(Problem(None, "uploads", f"{most} uploads under way", f"fewer than {most}", fix))
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1

    async def decoded(self, act: Callable[[], T]) -> T:
        """What a call returns that decodes a picture. Those that wait their turn hold no thread, which others need."""
        async with self._decoding:
            return await asyncio.to_thread(act)

    # what is asked for

    def check(self, request: RunRequest) -> Checked:
        """Find the problems of a request; nothing is queued."""
        return self._check(request, lambda plain: None)

    def _check(self, request: RunRequest, begun: Callable[[Json], None]) -> Checked:
        """As `check`; calls `begun` with the request as a worker is told it."""
        report = Report()
        try:
            plain = resolved(request, self._path_of)
        except WorkflowError as error:
            report.take(error)
            return Checked(report)
        begun(plain)
        try:
            prepared = prepare(plain, self.places)
        except WorkflowError as error:
            report.take(self.discreet.error(error))
            return Checked(report, None, plain)
        found = check_loaded(prepared.loaded, device="auto", memory=self.settings.memory)
        told = Report(self.discreet.problems(found), self.discreet.warnings([*prepared.warnings, *found.warnings]))
        return Checked(told, prepared, plain)

    def submit(self, request: RunRequest) -> Run:
        """Check a request and queue it; of two with one id, the first is meant by both.

        Raises:
            WorkflowError: every problem; nothing is queued.
            Busy: as many runs wait as may; `Away`: the cluster does not answer.
        """
        if request.id is not None and (known := self.records.run(request.id)) is not None:
            return known
        run_id = request.id or new_id()
        checked = self._check(request, lambda plain: self.dispatcher.soon(run_id, plain))
        if checked.report or checked.prepared is None:
            raise WorkflowError(list(checked.report), checked.report.warnings)
        if (trouble := self.dispatcher.trouble) is not None:
            raise Away(Problem(**trouble))
        if (waiting := self.dispatcher.waiting) >= self.settings.limits.queue:
            raise Busy(
                Problem(
                    None,
                    "queue",
                    f"{waiting:,} runs that wait",
                    f"fewer than {self.settings.limits.queue:,}",
                    "wait until some are done, cancel some, or start the server with a larger --queue",
                )
            )
        loaded, names = checked.prepared.loaded, checked.prepared.names
        title = request.title or loaded.workflow.title
        more = {**request.more, **({"names": dict(names)} if names else {})}
        run = self.records.add(
            run_id,
            request.client,
            clean(title)[:200],
            checked.request,
            loaded.workflow.to_json(),
            {**more, "warnings": [warning_json(one) for one in checked.report.warnings]},
        )
        if run is None:  # another request with the same id was faster
            return self.run(run_id)
        self.dispatcher.queued(run)
        return run

    def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            Unknown: there is none of that id.
        """
        found = self.records.run(run_id)
        if found is None:
            raise Unknown(f"a run {shorten(run_id)}")
        return found

    def runs(
        self, states: Iterable[str] = (), client: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Run]:
        """The history, the newest first; `before` is the number of a run."""
        wanted = [state for state in STATES if state in set(states)]
        return self.records.runs(wanted, client, before, max(1, min(limit, self.settings.limits.results)))

    def position(self, run: Run) -> int | None:
        """How many runs wait before a queued one."""
        return self.records.position(run.number) if run.state == "queued" else None

    def progress(self, run: Run) -> Json | None:
        """Where a running run is."""
        return self.dispatcher.progress.get(run.id)

    def cancel(self, run_id: str) -> Run:
        """Cancel a run: at once if it waits, at its next step if it runs. One that has ended stays as it is.

        Raises:
            Unknown: there is none of that id.
        """
        run = self.run(run_id)
        if run.state not in ENDED:
            self.dispatcher.cancel(run)
        return self.run(run_id)

    def remove(self, run_id: str) -> None:
        """Forget a run, and delete its results.

        Raises:
            Unknown: there is none of that id.
            Busy: it is running.
        """
        run = self.run(run_id)
        if run.state == "queued":
            self.dispatcher.cancel(run)
        if not self.records.remove(run_id):
            raise Busy(Problem(None, "run", f"{run_id}, which is running", "a run that has ended", "cancel it first"))
        self.results.remove(run)

    def subscribe(
        self, wake: Callable[[], None], *, run: str | None = None, client: str | None = None, after: int | None = None
    ) -> Subscription:
        """Hear what happens; see `Events.subscribe`."""
        return self.events.subscribe(wake, run=run, client=client, after=after)

    def status(self) -> Json:
        """How the server is."""
        from .... import __version__

        limits = self.settings.limits
        return {
            "version": __version__,
            "began": self.began,
            "queue": self.records.counts(),
            "workers": self.dispatcher.status(),
            "editor": self.settings.editor and editor_files() is not None,
            "limits": {
                "upload_bytes": limits.upload_bytes,
                "space_bytes": limits.space_bytes,
                "body_bytes": limits.body_bytes,
                "queue": limits.queue,
                "run_seconds": limits.run_seconds,
            },
        }

    def _path_of(self, reference: Mapping[str, object]) -> str:
        """The path below the roots of `{"upload": id}` or `{"result": "run/number"}`.

        Raises:
            WorkflowError: there is no such file.
        """
        kind, name = next(iter(reference.items()))
        found = None
        if isinstance(name, str):
            found = self.uploads.path(name) if kind == "upload" else self.results.path(name)
        if found is None:
            raise WorkflowError.of(
                None,
                found=f"no {kind} {shorten(name)}",
                expected="the id of an upload" if kind == "upload" else "RUN/NUMBER of a result",
                fix="send the file again" if kind == "upload" else "see GET /v1/runs for what there is",
            )
        return found
