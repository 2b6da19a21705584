"""How long one combination of a workflow took on this machine, from sweep to sweep."""

from contextlib import suppress

from ...core.database import Database, DatabaseUnusable
from ...core.digests import sha256
from .sweep import Sweep

MOST = 10_000  # workflows
WEIGHT = 0.3  # of a new sweep against those before
_PACES = Database("paces.sqlite", ("CREATE TABLE paces (work TEXT PRIMARY KEY, seconds REAL NOT NULL)",))


def pace_of(sweep: Sweep, device: str) -> float | None:
    """Seconds that one combination took before; None if it never did."""
    with suppress(DatabaseUnusable), _PACES.reading() as paces:
        row = paces.execute("SELECT seconds FROM paces WHERE work = ?", (_work(sweep, device),)).fetchone()
        return float(row[0]) if row is not None else None
    return None


def note_pace(sweep: Sweep, device: str, seconds: float) -> None:
    """Note how long one combination took."""
    before = pace_of(sweep, device)
    mean = seconds if before is None else WEIGHT * seconds + (1 - WEIGHT) * before
    with suppress(DatabaseUnusable), _PACES.writing() as paces:
        paces.execute("INSERT OR REPLACE INTO paces VALUES (?, ?)", (_work(sweep, device), mean))
        paces.execute("DELETE FROM paces WHERE rowid <= (SELECT max(rowid) FROM paces) - ?", (MOST,))


def _work(sweep: Sweep, device: str) -> str:
    """The same for workflows with the same nodes, whatever their settings."""
    workflow = sweep.job.loaded.workflow
    nodes = sorted((name, entry.type) for name, entry in workflow.nodes.items())
    return sha256(repr((nodes, device)))[:32]
