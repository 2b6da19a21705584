"""Which runs the editor lists: all of them but those that its user took out of the history. Their results stay."""

import json
import threading
from collections.abc import Iterable

from ....core.files import write_bytes
from ..records import ENDED, Run
from ..service import Service
from .places import Places

_PAGE = 200


class History:
    """The runs that have ended, without those that were taken out.

    Args:
        service: whose runs they are.
        places: where it is noted what was taken out.
    """

    def __init__(self, service: Service, places: Places) -> None:
        self._service = service
        self._file = places.user / "taken-out.json"
        self._lock = threading.Lock()

    def runs(self, states: Iterable[str], limit: int | None = None, offset: int = 0) -> list[Run]:
        """Runs of these states, the newest first."""
        wanted = list(states)
        before, gone = self._taken_out()
        found: list[Run] = []
        last: int | None = None
        most = None if limit is None else offset + limit
        while most is None or len(found) < most:
            page = self._service.records.runs(wanted, before=last, limit=_PAGE)
            found += [run for run in page if run.state not in ENDED or (run.number > before and run.id not in gone)]
            if len(page) < _PAGE:
                break
            last = page[-1].number
        return found[offset:most]

    def run(self, run_id: str) -> Run | None:
        """One run; None if there is none, or it was taken out."""
        before, gone = self._taken_out()
        run = self._service.records.run(run_id)
        taken = run is not None and run.state in ENDED and (run.number <= before or run.id in gone)
        return None if taken else run

    def take_out(self, run_ids: Iterable[str] = (), *, everything: bool = False) -> None:
        """List these no more, or none of those that have ended by now."""
        with self._lock:
            before, gone = self._taken_out()
            if everything:
                newest = self._service.records.runs(ENDED, limit=1)
                before, gone = (newest[0].number if newest else before), set()
            gone |= {str(run_id) for run_id in run_ids}
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self._file, json.dumps({"before": before, "runs": sorted(gone)}).encode())

    def _taken_out(self) -> tuple[int, set[str]]:
        try:
            raw = json.loads(self._file.read_bytes())
            return int(raw["before"]), set(map(str, raw["runs"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return 0, set()
