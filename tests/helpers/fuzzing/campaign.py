"""A campaign: run cases, gather findings by cause, confirm, shrink and write each."""

import collections
import re

from . import judge, targets
from .case import to_json
from .shrink import Shrinker

_TRIES = 3  # cases of one cause that are confirmed, until one is
_COSTS = ("slow", "memory", "hang")  # depend on the machine: confirmed before they count


class Campaign:
    """Findings and costs of many cases."""

    def __init__(self, server, save, *, shrinking=True):
        self.server, self.save, self.shrinking = server, save, shrinking
        self.found = {}
        self.times = collections.Counter()
        self.cases, self.answers = collections.Counter(), collections.Counter()
        self.seconds = collections.Counter()
        self.by_file = collections.defaultdict(list)  # findings of corpus files
        self.slowest, self.largest = (0.0, ""), (0, "")
        self.unconfirmed = collections.Counter()

    def run(self, batches):
        """Judge every case of the batches."""
        pending = []
        for batch, index, result in self.server.results(batches):
            where = (
                f"{batch.target} seed {batch.seed} number {batch.numbers[index]}"
                if batch.numbers
                else batch.names[index]
            )
            group = batch.target or "corpus"
            self.cases[group] += 1
            if (total := self.cases.total()) % 1000 == 0:
                print(f"{total} cases", flush=True)
            self.answers[f"{group} {result.status}"] += 1
            self.seconds[group] += result.seconds
            self.slowest = max(self.slowest, (result.seconds, where))
            self.largest = max(self.largest, (result.bytes, where))
            if batch.names:
                self.by_file[where] += [(finding.name, finding.what) for finding in result.findings]
            for finding in result.findings:
                self.times[finding.name] += 1
                if batch.names or self.times[finding.name] <= _TRIES:
                    pending.append((finding, batch, index, where))
                    print(f"? {finding.name}\n    {where}: {finding.what[:300]}", flush=True)
        for finding, batch, index, where in pending:
            if batch.names or finding.name not in self.found:
                self._settle(finding, batch, index, where)

    def _settle(self, finding, batch, index, where):
        """Confirm a finding, make it small and write it."""
        case = batch.case(index)
        if finding.kind in _COSTS:
            self.server.slack = max(judge.calibration() for _ in range(3))
        attempts = [self._shows(case, finding) for _ in range(3 if finding.kind in _COSTS else 1)]
        if not all(attempts):
            self.unconfirmed[finding.name] += 1
            if finding.kind in _COSTS:
                self.by_file[where] = [one for one in self.by_file[where] if one[0] != finding.name]
                return
        elif self.shrinking and finding.kind != "hang":
            shrinker = Shrinker(lambda smaller: self._shows(smaller, finding))
            if batch.numbers:
                plan = shrinker.plan(targets.plan_of(batch.target, batch.seed, batch.numbers[index]))
                case = targets.build(plan)
            case = shrinker.case(case)
        self.save.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9]+", "-", finding.name)[:70].strip("-").lower()
        path = self.save / f"{batch.target or 'again'}-{name}.json"
        path.write_text(to_json(case, f"{finding.name}; found by {where}"))
        self.found[finding.name] = path
        print(
            f"! {finding.name}\n    {where}\n    {finding.what[:500]}\n    replay: scripts/fuzz.py {path}", flush=True
        )

    def _shows(self, case, finding):
        return any(one.name == finding.name for one in self.server.judge(case).findings)

    def summary(self, took):
        """The report of the campaign."""
        total = sum(self.cases.values())
        lines = [f"{total} cases in {took:.0f} s ({total / max(took, 1e-9):.0f} a second)"]
        for group, count in self.cases.items():
            answers = ", ".join(
                f"{key.partition(' ')[2]} {value}"
                for key, value in sorted(self.answers.items())
                if key.split()[0] == group
            )
            each = 1000 * self.seconds[group] / count
            lines.append(f"  {group:12} {count:7} cases, {each:6.1f} ms of CPU each; {answers}")
        lines.append(f"slowest answer {self.slowest[0]:.2f} s of CPU ({self.slowest[1]})")
        lines.append(f"highest memory {self.largest[0] / 2**20:.0f} MiB ({self.largest[1]})")
        lines.append(f"findings: {len(self.found)}")
        lines += [f"  {self.times[name]:5} x {name}" for name in self.found]
        lines += [f"  not confirmed alone: {name}" for name in self.unconfirmed if name not in self.found]
        return "\n".join(lines)
