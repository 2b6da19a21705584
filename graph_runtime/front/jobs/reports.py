"""The files that tell about a job: its table, and sheets with each picture before and after."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ....nodes.pack import PACK
from ...core.files import make_folder, named
from ...core.pack import SheetPair
from .job import Job
from .ledger import Ledger
from .outcome import Outcome
from .part import OwnFiles
from .sources import TABLE
from .table import table_of

PAIRS = 48  # of one sheet
OWNER = "reports"  # of a job; those of the next one replace them


class Reports:
    """Writes the table and the sheets of a job; former ones of the same job are replaced, other files never."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        self.job, self.ledger, self.out = job, ledger, job.loaded.out
        self.table: Path | None = None
        self.sheets: list[Path] = []

    def write_table(self, outcomes: Sequence[Outcome]) -> None:
        """Write `job.csv`.

        Raises:
            OSError: the output folder takes no file.
        """
        contents = table_of(outcomes, self.job.inputs, self.out, self.job.loaded.held.shown)
        self.table = self._write(TABLE, lambda path: path.write_bytes(contents))

    def write_sheets(self, outcomes: Sequence[Outcome]) -> None:
        """Write `contact-sheet-1.jpg` and so on.

        Raises:
            OSError: the output folder takes no file.
        """
        self.sheets = []
        for first in range(0, len(outcomes), PAIRS):
            pairs = [self._pair(one) for one in outcomes[first : first + PAIRS]]
            name = f"contact-sheet-{first // PAIRS + 1}.jpg"
            self.sheets.append(self._write(name, partial(PACK.contact_sheet, pairs)))

    def _pair(self, one: Outcome) -> SheetPair:
        before = one.inputs[self.job.inputs[0]]
        pictures = [file for file in one.files if Path(file.path).suffix.lower() in PACK.picture_suffixes]
        after = self.out / pictures[0].path if pictures else None
        return SheetPair(Path(before), after, one.name if one.status != "failed" else f"{one.name}: failed")

    def _write(self, name: str, write: Callable[[Path], object]) -> Path:
        return self.out / write_report(self.ledger, name, write).name


def write_report(ledger: Ledger, name: str, write: Callable[[Path], object]) -> Path:
    """Write a file about a job in place of a former one; beside it, under a number, if somebody else wrote that.

    Args:
        ledger: of the output folder.
        name: of the file.
        write: writes it to a path.

    Raises:
        OSError: the output folder takes no file.
    """
    own = OwnFiles(ledger, OWNER)
    make_folder(ledger.out)
    paths: list[Path] = []
    with named(ledger.out, Path(name).stem, Path(name).suffix, own.publish, paths.append) as path:
        write(path)
    return paths[0]
