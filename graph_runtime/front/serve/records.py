"""The queue and the history in SQLite: what is queued is run, also after a kill, and what is done has its results once.

A change of a run's state is one transaction. A run becomes `done` in the same transaction in which its results appear,
after their files are whole.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...core.database import Database
from .json_data import Json

State = Literal["queued", "running", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
_STEPS = (
    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, client TEXT, title TEXT "
    "NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL, tries INTEGER NOT NULL DEFAULT 0, "
    "stop INTEGER NOT NULL DEFAULT 0, request TEXT NOT NULL, workflow TEXT NOT NULL, more TEXT NOT NULL, found TEXT "
    "NOT NULL DEFAULT '{}')",
    "CREATE INDEX runs_by_state ON runs (state, number)",
    "CREATE INDEX runs_by_client ON runs (client, number)",
    "CREATE TABLE results (run INTEGER NOT NULL, number INTEGER NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (run, "
    "number)) WITHOUT ROWID",
    "CREATE TABLE uploads (id TEXT PRIMARY KEY, created REAL NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID",
)
_COLUMNS = "number, id, client, title, state, created, started, ended, tries, stop, request, workflow, more, found"


@dataclass(frozen=True)
class Run:
    """One run, as it is in the history.

    Attributes:
        number: in the order of submission.
        id: names it.
        client: who asked for it; None: nobody in particular.
        title: of its workflow.
        state: queued, running, done, failed or cancelled.
        created, started, ended: seconds since 1970.
        tries: how often it was begun.
        stop: somebody asked to cancel it.
        request: what was asked for, as a worker is told it.
        workflow: native, with all values in it, as JSON.
        more: what a front end keeps with it, such as its own graph.
        found: problems, warnings and plain values, once it has ended.
        results: the facts of its results, in order.
    """

    number: int
    id: str
    client: str | None
    title: str
    state: State
    created: float
    started: float | None
    ended: float | None
    tries: int
    stop: bool
    request: Json
    workflow: str
    more: Json
    found: Json
    results: list[Json] = field(default_factory=list)


class Records:
    """The tables.

    Args:
        folder: where the file lies.

    Every method raises DatabaseUnusable if the file cannot be used now.
    """

    def __init__(self, folder: Path) -> None:
        self.database = Database("queue.db", _STEPS, folder=lambda: folder)

    def add(self, run_id: str, client: str | None, title: str, request: Json, workflow: str, more: Json) -> Run | None:
        """Queue a run; None if there is one of that id already."""
        row = (run_id, client, title, "queued", time.time(), json.dumps(request), workflow, json.dumps(more))
        with self.database.writing() as tables:
            made = tables.execute(
                "INSERT INTO runs (id, client, title, state, created, request, workflow, more) VALUES (?, ?, ?, ?, ?, "
                "?, ?, ?) ON CONFLICT (id) DO NOTHING",
                row,
            )
            if not made.rowcount:
                return None
            return _run(tables, tables.execute(f"SELECT {_COLUMNS} FROM runs WHERE number = ?", (made.lastrowid,)))

    def run(self, run_id: str) -> Run | None:
        """One run."""
        with self.database.reading() as tables:
            return _run(tables, tables.execute(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,)))

    def runs(
        self, states: Iterable[str] = (), client: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Run]:
        """Runs, the newest first."""
        chosen, given = _where(list(states), client, before)
        with self.database.reading() as tables:
            rows = tables.execute(
                f"SELECT {_COLUMNS} FROM runs {chosen} ORDER BY number DESC LIMIT ?", (*given, limit)
            ).fetchall()
            return [_made(tables, row) for row in rows]

    def next_queued(self, busy: Iterable[str]) -> Run | None:
        """The run that has waited longest among those of clients that have none running."""
        skipped = list(busy)
        marks = ", ".join("?" * len(skipped))
        only = f"AND (client IS NULL OR client NOT IN ({marks}))" if skipped else ""
        with self.database.reading() as tables:
            return _run(
                tables,
                tables.execute(
                    f"SELECT {_COLUMNS} FROM runs WHERE state = 'queued' {only} ORDER BY number LIMIT 1", skipped
                ),
            )

    def requests_to_make(self) -> list[str]:
        """The requests of all runs that wait or run, as JSON."""
        with self.database.reading() as tables:
            rows = tables.execute("SELECT request FROM runs WHERE state IN ('queued', 'running')").fetchall()
        return [str(request) for (request,) in rows]

    def counts(self) -> dict[str, int]:
        """How many runs wait and run."""
        with self.database.reading() as tables:
            rows = tables.execute(
                "SELECT state, COUNT(*) FROM runs WHERE state IN ('queued', 'running') GROUP BY state"
            ).fetchall()
        return {"queued": 0, "running": 0, **dict(rows)}

    def position(self, number: int) -> int:
        """How many runs wait before that one."""
        with self.database.reading() as tables:
            (count,) = tables.execute(
                "SELECT COUNT(*) FROM runs WHERE state = 'queued' AND number < ?", (number,)
            ).fetchone()
        return int(count)

    def begin(self, run_id: str) -> bool:
        """Note that a run begins; false if it does not wait any more."""
        with self.database.writing() as tables:
            return bool(
                tables.execute(
                    "UPDATE runs SET state = 'running', started = ?, tries = tries + 1 "
                    "WHERE id = ? AND state = 'queued'",
                    (time.time(), run_id),
                ).rowcount
            )

    def again(self, run_id: str) -> bool:
        """Queue a run that was running, in its old place."""
        with self.database.writing() as tables:
            return bool(
                tables.execute(
                    "UPDATE runs SET state = 'queued', started = NULL WHERE id = ? AND state = 'running'", (run_id,)
                ).rowcount
            )

    def end(self, run_id: str, state: State, found: Json, results: Iterable[Json] = ()) -> bool:
        """Note how a run ended, with all its results; false if it had ended already."""
        with self.database.writing() as tables:
            row = tables.execute(
                "UPDATE runs SET state = ?, ended = ?, found = ? WHERE id = ? AND state IN ('queued', 'running') "
                "RETURNING number",
                (state, time.time(), json.dumps(found), run_id),
            ).fetchone()
            if row is None:
                return False
            tables.executemany(
                "INSERT INTO results (run, number, facts) VALUES (?, ?, ?)",
                [(row[0], number, json.dumps(facts)) for number, facts in enumerate(results, 1)],
            )
        return True

    def stop(self, run_id: str) -> None:
        """Note that a running run is to be cancelled, also if the server ends before it is."""
        with self.database.writing() as tables:
            tables.execute("UPDATE runs SET stop = 1 WHERE id = ? AND state = 'running'", (run_id,))

    def remove(self, run_id: str) -> bool:
        """Forget a run that is not running."""
        with self.database.writing() as tables:
            row = tables.execute(
                "DELETE FROM runs WHERE id = ? AND state != 'running' RETURNING number", (run_id,)
            ).fetchone()
            if row is not None:
                tables.execute("DELETE FROM results WHERE run = ?", row)
        return row is not None

    def add_upload(self, upload: str, facts: Json) -> None:
        """Note an upload, whose file is whole."""
        with self.database.writing() as tables:
            tables.execute("INSERT INTO uploads VALUES (?, ?, ?)", (upload, time.time(), json.dumps(facts)))

    def upload(self, upload: str) -> Json | None:
        """The facts of an upload."""
        with self.database.reading() as tables:
            row = tables.execute("SELECT facts FROM uploads WHERE id = ?", (upload,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def remove_upload(self, upload: str) -> bool:
        """Forget an upload."""
        with self.database.writing() as tables:
            return bool(tables.execute("DELETE FROM uploads WHERE id = ?", (upload,)).rowcount)


def _where(states: list[str], client: str | None, before: int | None) -> tuple[str, list[object]]:
    parts: list[str] = []
    given: list[object] = []
    if states:
        parts.append(f"state IN ({', '.join('?' * len(states))})")
        given += states
    if client is not None:
        parts.append("client = ?")
        given.append(client)
    if before is not None:
        parts.append("number < ?")
        given.append(before)
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), given


def _run(tables: sqlite3.Connection, rows: sqlite3.Cursor) -> Run | None:
    row = rows.fetchone()
    return None if row is None else _made(tables, row)


def _made(tables: sqlite3.Connection, row: tuple[Any, ...]) -> Run:  # Any: a row of a table
    number, run_id, client, title, state, created, started, ended, tries, stop, request, workflow, more, found = row
    results = (
        tables.execute("SELECT facts FROM results WHERE run = ? ORDER BY number", (number,)).fetchall()
        if state == "done"
        else []
    )
    return Run(
        number,
        run_id,
        client,
        title,
        state,
        created,
        started,
        ended,
        tries,
        bool(stop),
        json.loads(request),
        workflow,
        json.loads(more),
        json.loads(found),
        [json.loads(facts) for (facts,) in results],
    )


def files_of(run: Run) -> Mapping[int, Json]:
    """The results of a run by number."""
    return dict(enumerate(run.results, 1))
