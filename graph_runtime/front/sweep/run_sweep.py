"""Run a sweep: what is missing of it, its table and sheets, and the best of it."""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from ...core.context import Context
from ...core.errors import Cancelled, WorkflowError
from ...core.events import CancelToken, ItemFinished, Listener, Noted, Record, Warned
from ...core.paths import why_unwritable
from ..jobs.ledger import Ledger
from ..jobs.outcome import Outcome
from ..jobs.reports import write_report
from ..jobs.run_job import STOPPED_BY_DEVICE, fetch_shared, warn_of
from ..jobs.session import How, not_noted
from ..python.preparation import prepare_folders
from .check import check_sweep
from .folder import held_by, require_same, write_held
from .pace import note_pace
from .result import SweepResult
from .rows import Rows
from .sheet import Sheets
from .sweep import Sweep, arranged
from .table import Table, picture_of
from .work import Engine, Work

TABLE_SECONDS = 30.0  # after which the table is written again, or later where writing takes long


def run_sweep(
    sweep: Sweep, how: How, engine: Engine, *, listeners: Iterable[Listener] = (), cancel: CancelToken | None = None
) -> SweepResult:
    """Run what is missing of a sweep.

    A combination that fails does not stop the others. Calling it again goes on where an earlier call ended.

    Args:
        sweep: the combinations.
        how: each is made.
        engine: makes them.
        listeners: called with every event.
        cancel: stops at the next step.

    Raises:
        WorkflowError: a value is wrong, or the folder holds another sweep; nothing ran.
        Cancelled: the user asked to stop; what is done stays, and is known to the next call.
    """
    kept = _Kept()
    out = sweep.job.loaded.out
    ctx = Context(out=out, listeners=(kept, *listeners), cancel=cancel)
    if why := why_unwritable(out):
        raise WorkflowError.of(
            "--out",
            found=f"{str(out)!r}: {why}",
            expected="an output folder, with room in it",
            fix="choose another with --out (out=… from Python)",
        )
    report, sound = check_sweep(sweep, how)
    if report:
        raise WorkflowError(report, report.warnings)
    held = held_by(sweep)
    note = require_same(out, held)
    sweep = arranged(sweep, sound)
    usable = prepare_folders(ctx, keeping=how.cache)
    for warning in [*report.warnings, *([Warned(None, note)] if note else [])]:
        ctx.pass_on(warning)
    fetch_shared(sweep.job.prepared(sweep.job.items[sound]), ctx)
    ledger = Ledger(out)
    made = _Made(sweep, ledger)
    with suppress(OSError):
        write_held(ledger, held)
    work = Work(sweep.job, sweep.grid, how, tuple(listeners), cancel)
    with _stopping(made):
        made.all(engine.runs(work, ctx), ctx)
    made.report(ctx)
    if made.seconds and made.rows.tally.done:
        note_pace(sweep, how.device, made.seconds / made.rows.tally.done)
    if ledger.trouble:
        made.trouble[not_noted(ledger.trouble)] = None
    if usable:  # else it is told already
        warn_of(made.trouble, ctx)
    made.result.events = list(kept)
    return made.result


class _Kept(Record):
    """What is kept of all events: there may be very many runs."""

    def __call__(self, event: object) -> None:
        if isinstance(event, Warned) or (isinstance(event, ItemFinished) and event.status == "failed"):
            super().__call__(event)


class _Made:
    """What the combinations gave so far, and the files about them."""

    def __init__(self, sweep: Sweep, ledger: Ledger) -> None:
        self.sweep, self.ledger, self.out = sweep, ledger, sweep.job.loaded.out
        self.rows = Rows(sweep.grid.total)
        self.result = SweepResult(sweep.grid, self.rows, self.out)
        self.seconds = 0.0  # that the combinations took which were made
        self.trouble: dict[str, None] = {}  # why nothing can be kept or noted
        self._best: tuple[float, int] | None = None

    def all(self, runs: Iterator[tuple[int, Outcome]], ctx: Context) -> None:
        """Take every outcome; now and then, write the table."""
        total = self.sweep.grid.total
        written, pause = time.monotonic(), TABLE_SECONDS
        for number, outcome in runs:
            self.rows.add(number, outcome)
            self._compare(number, outcome)
            self.trouble |= dict.fromkeys(outcome.trouble)
            self.seconds += outcome.seconds if outcome.status == "done" else 0.0
            status, ended = outcome.status, self.rows.tally.ended
            ctx.emit(ItemFinished(outcome.name, ended, total, status, outcome.seconds, outcome.message))
            if outcome.full or outcome.lost:
                self.result.stopped = (
                    STOPPED_BY_DEVICE
                    if outcome.lost
                    else "the disk is full: free some space; the same command goes on from there"
                )
                close = getattr(runs, "close", None)
                if close is not None:
                    close()
                return
            if time.monotonic() - written > pause:
                began = time.monotonic()
                with suppress(OSError):
                    self.write_table()
                written = time.monotonic()
                pause = max(TABLE_SECONDS, 50 * (written - began))

    def _compare(self, number: int, outcome: Outcome) -> None:
        best = self.sweep.best
        value = best.number(outcome) if best is not None else None
        if best is None or value is None:
            return
        before = self._best
        if before is None or best.is_better(value, before[0]) or (value == before[0] and number < before[1]):
            self._best = (value, number)

    @property
    def winner(self) -> int | None:
        """The number of the best combination."""
        return None if self._best is None else self._best[1]

    def write_table(self) -> None:
        """Write `table.csv`.

        Raises:
            OSError: the output folder takes no file.
        """
        table = Table(self.sweep.grid, self.rows, self.winner)
        self.result.table = self.out / write_report(self.ledger, "table.csv", table.write_csv).name

    def report(self, ctx: Context) -> None:
        """Write everything about the sweep; what cannot be written is a warning."""
        try:
            self.write_table()
            self._write_parquet(ctx)
            self._write_best(ctx)
            self._write_sheets(ctx)
        except OSError as error:
            ctx.warn(f"the table and the sheets are not complete: {error.strerror or error}")

    def _write_parquet(self, ctx: Context) -> None:
        if find_spec("pyarrow") is None:
            ctx.pass_on(Noted(None, "no table.parquet, because pyarrow is not installed: pip install pyarrow"))
            return
        table = Table(self.sweep.grid, self.rows, self.winner)
        self.result.parquet = self.out / write_report(self.ledger, "table.parquet", table.write_parquet).name

    def _write_best(self, ctx: Context) -> None:
        if self.sweep.best is None:
            return
        outcome = self.rows.get(self.winner) if self.winner is not None else None
        if outcome is None or self.winner is None:
            ctx.warn(f"--best {self.sweep.best.link}: no combination gave a number")
            return
        self.result.best = self.result.row(self.winner, outcome)
        file = picture_of(outcome)
        if file is not None:
            source = self.out / file.path
            name = f"best{Path(file.path).suffix}"
            written = write_report(self.ledger, name, lambda path: shutil.copyfile(source, path))
            self.result.best_file = self.out / written.name

    def _write_sheets(self, ctx: Context) -> None:
        sheets = Sheets(self.sweep.grid, self.rows, self.out, self.sweep.best, self.winner)
        written, drawn = sheets.write(lambda name, write: self.out / write_report(self.ledger, name, write).name)
        self.result.sheets = written
        if drawn < self.sweep.grid.total:
            ctx.warn(
                f"the sheets show the first {drawn:,} of {self.sweep.grid.total:,} combinations; the table has all"
            )


@contextmanager
def _stopping(made: _Made) -> Iterator[None]:
    """In the block, a user's wish to stop is one error, after the table and the sheets were written.

    Raises:
        Cancelled: says how far the sweep is.
    """
    try:
        yield
    except (KeyboardInterrupt, Cancelled) as stop:
        if len(made.rows):
            made.report(Context(out=made.out))
        raise Cancelled(f"cancelled: {made.rows.tally}; the same command goes on from there") from stop
