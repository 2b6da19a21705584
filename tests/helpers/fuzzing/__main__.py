"""The command line of the harness; scripts/fuzz.py."""

import argparse
import itertools
import json
import secrets
import signal
import sys
import time
from pathlib import Path

from . import targets
from .campaign import Campaign
from .case import from_json, to_json
from .server import Batch, Server
from .watch import ROOT

_BATCH = 100  # cases of one process
CORPUS = ROOT / "tests" / "fuzz" / "corpus"


def main():
    """Parse the command line and fuzz."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folders are removed
    names = options.target or list(targets.TARGETS)
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    files = sorted(CORPUS.glob("*.json")) if options.corpus else [Path(name) for name in options.files]
    started = time.monotonic()
    with Server(options.workers, targets.needs_of(names)) as server:
        campaign = Campaign(server, options.save, shrinking=not options.quick)
        if files:
            campaign.run([Batch(cases=[from_json(file.read_text())], names=[file.name]) for file in files])
        elif options.number is not None:
            for name in names:
                case = targets.build(targets.plan_of(name, seed, options.number))
                print(to_json(case))
                campaign.run([Batch(name, seed, [options.number])])
        else:
            print(f"seed {seed}, targets {', '.join(names)}, slack {server.slack:.2f}", flush=True)
            campaign.run(_batches(names, seed, options, server))
    print(campaign.summary(time.monotonic() - started), flush=True)
    if options.report:
        found = {file.name: campaign.by_file[file.name] for file in files}
        options.report.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 1 if campaign.found else 0


def _batches(names, seed, options, server):
    """Batches of each target in turn, until the time or the number of cases is used up; costly ones come less often."""
    end = time.monotonic() + options.seconds if options.seconds else None
    made = 0
    first = dict.fromkeys(names, 0)
    turns = [name for name in names for _ in range(targets.TARGETS[name].share)]
    for name in itertools.cycle(turns):
        if (end and time.monotonic() > end) or (options.cases and made >= options.cases):
            return
        count = min(_BATCH, options.cases - made) if options.cases else _BATCH
        yield Batch(name, seed, list(range(first[name], first[name] + count)))
        first[name] += count
        made += count


def _parser():
    parser = argparse.ArgumentParser(prog="scripts/fuzz.py", description="Fuzz inlay's public doors.")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--seed", type=int, help="default: a new one, which is printed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--target", action="append", choices=list(targets.TARGETS), help="default: all")
    parser.add_argument("--number", type=int, help="one case of a target again")
    parser.add_argument("--corpus", action="store_true", help="replay the corpus")
    parser.add_argument("--save", type=Path, default=ROOT / "inlay-out" / "fuzz", help="where findings are written")
    parser.add_argument("--report", type=Path, help="write the findings of each corpus file there, as JSON")
    parser.add_argument("--quick", action="store_true", help="do not shrink findings")
    parser.add_argument("files", nargs="*", help="corpus files to replay")
    return parser


if __name__ == "__main__":
    sys.exit(main())
