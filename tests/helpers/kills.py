"""Kills working processes at random instants, and looks for anything lost, half-written or left over.

    python tests/helpers/kills.py --count 200 --seed 7
    python tests/helpers/kills.py --scenario save --kill call:17     # one kill, before the 17th call that may write

A kill comes after a random time, or before a random call that may change the disk. Up to three in a row hit the same
work; then it runs to its end and must give what an undisturbed run gives. What is found is shrunk to one kill if
possible, and printed as a test.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import hub_toys
from kill_scenarios import SCENARIOS, SERVED, Scenario

CALLS = ("write", "fsync", "close", "utime")  # of `os`; the others are seen by Python's audit
EVENTS = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "sqlite3.connect"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LIMIT = 60.0  # seconds that a process may take before it counts as hanging


class Found(Exception):
    """Something is lost, half-written or left over."""


def run(scenario: Scenario, folder: Path, kill: str = "") -> tuple[list, bool, int]:
    """Work in a process of its own; what it announced, whether it lived, and its calls that may change the disk.

    Args:
        scenario: the work.
        folder: where.
        kill: `after:SECONDS` or `call:NUMBER`; empty to let it live.
    """
    how, _, when = kill.partition(":")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(scenario, folder, writing, int(when) if how == "call" else 0)
    os.close(writing)
    timer = threading.Timer(float(when) if how == "after" else LIMIT, os.kill, (child, signal.SIGKILL))
    timer.start()
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    timer.cancel()
    timer.join()
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    if status not in (0, -signal.SIGKILL) or (status and not kill):
        trouble = next((line[1] for line in lines if line[0] == "trouble"), f"ended with status {status}")
        raise Found(trouble if status != -signal.SIGKILL else "it did not end")
    calls = next((line[1] for line in lines if line[0] == "calls"), 0)
    return [line for line in lines if line[0] not in ("calls", "trouble")], status == 0, calls


def _work(scenario: Scenario, folder: Path, pipe: int, instant: int) -> None:
    """Work, then end without the cleaning up of an interpreter."""
    write, count = os.write, itertools.count(1)

    def announce(value: object) -> None:
        write(pipe, (json.dumps(value) + "\n").encode())

    try:
        os.environ["INLAY_HOME"] = str(folder / "home")
        from inlay.graph_runtime.core import leftovers

        leftovers._UNWRITTEN = -1.0  # a claim that a kill left without a name need not be seconds old here
        for name in CALLS:
            setattr(os, name, _deadly(getattr(os, name), instant, count))
        sys.addaudithook(lambda event, given: _count(instant, count) if _may_change(event, given) else None)
        scenario.work(folder, announce)
        announce(["calls", next(count)])
        from inlay.graph_runtime.core.database import _close_all

        _close_all()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - told to the process that looks on
        announce(["trouble", traceback.format_exc()])
    finally:
        os._exit(1)


def _may_change(event: str, given: tuple) -> bool:
    """True for an audit event of a call that may change the disk: an open file counts if it may be written."""
    return event in EVENTS or (event == "open" and isinstance(given[2], int) and bool(given[2] & WRITES))


def _deadly(real, instant: int, count):
    def call(*args, **options):
        _count(instant, count)
        return real(*args, **options)

    return call


def _count(instant: int, count) -> None:
    if next(count) == instant:
        os.kill(os.getpid(), signal.SIGKILL)


class Harness:
    """Runs each scenario once undisturbed, for its bytes and its length; then kills."""

    def __init__(self, place: Path, names: list[str]) -> None:
        self.place, self.names = place, names
        self.hub = _serve_hub(place) if "download" in names else 0
        self._numbers = itertools.count()
        os.environ["INLAY_HOME"] = str(place / "home")
        warmed = {SCENARIOS[name].warm.__func__: SCENARIOS[name] for name in names}
        for number, scenario in enumerate(warmed.values()):
            (place / f"warm{number}").mkdir()
            scenario.warm(place / f"warm{number}")
        for name in names:
            folder = place / name / "reference"
            folder.mkdir(parents=True)
            began = time.monotonic()
            announced, _, SCENARIOS[name].calls = run(SCENARIOS[name], folder)
            SCENARIOS[name].seconds = time.monotonic() - began
            (folder / "end").write_text(json.dumps(announced[-1][1]))

    def try_kills(self, name: str, kills: list[str]) -> int:
        """Kill the same work one time after another, then let it end; how often it really was killed.

        Raises:
            Found: something is wrong.
        """
        scenario, folder = SCENARIOS[name], self.place / name / str(next(self._numbers))
        folder.mkdir()
        announced, killed = [], 0
        try:
            for kill in kills:
                more, lived, _ = run(scenario, folder, kill)
                announced += more
                killed += not lived
                scenario.intact(folder, announced)
            announced += run(scenario, folder)[0]
            scenario.done(folder, announced, self.place / name / "reference")
        except (AssertionError, OSError, ValueError) as error:
            raise Found(f"{type(error).__name__}: {error}\n{traceback.format_exc()}") from error
        shutil.rmtree(folder)
        return killed

    def random_kills(self, name: str, draws: random.Random) -> list[str]:
        """One to three instants in a scenario's work."""
        scenario = SCENARIOS[name]
        return [
            f"call:{draws.randint(1, scenario.calls)}"
            if draws.random() < 0.5
            else f"after:{draws.uniform(0, scenario.seconds * 1.05):.5f}"
            for _ in range(draws.choice((1, 1, 2, 3)))
        ]

    def shrink(self, name: str, kills: list[str]) -> list[str]:
        """The shortest of some simpler kills that are still a finding."""
        simpler = [[kill] for kill in kills] * 3
        simpler += [[f"call:{number}"] for number in range(1, min(SCENARIOS[name].calls, 80))]
        for tried in simpler:
            try:
                self.try_kills(name, tried)
            except Found:
                return tried
        return kills

    def close(self) -> None:
        """End the hub."""
        if self.hub:
            os.kill(self.hub, signal.SIGKILL)
            os.waitpid(self.hub, 0)


def _serve_hub(place: Path) -> int:
    """A process that serves the toy hub; its number."""
    from kill_scenarios import Download

    for name, content in SERVED.items():
        path = place / "served" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        hub = hub_toys.FakeHub()
        hub.folders["toy/model"], hub.slow = place / "served", 0.002
        with hub_toys.served(hub):
            os.write(writing, hub.url.encode() + b"\n")
            while os.getppid() != 1:
                time.sleep(0.5)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        Download.hub = pipe.readline().strip()
    return child


def main(words: list[str] | None = None) -> int:
    """Kill, report, and print what is found as a test; 1 if there was something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="kills")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    parser.add_argument("--kill", action="append", help="after:SECONDS or call:NUMBER, instead of random ones")
    parser.add_argument("--first", action="store_true", help="stop at the first finding")
    parser.add_argument("--place", help="the folder to work in")
    parser.add_argument("--seconds", type=float, default=10**9, help="stop after this time")
    options = parser.parse_args(words)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    draws, names = random.Random(seed), options.scenario or sorted(SCENARIOS)
    print(f"seed {seed}", flush=True)
    began, killed, findings, by_name = time.monotonic(), 0, 0, dict.fromkeys(names, 0)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a kill, unlike a power failure, needs no slow disk
    with tempfile.TemporaryDirectory(prefix="inlay-kills-", dir=options.place or memory) as place:
        harness = Harness(Path(place).resolve(), names)
        rounds = itertools.cycle(names) if options.count <= 4 * len(names) else None
        weights = [SCENARIOS[name].weight for name in names]
        while killed < options.count and time.monotonic() - began < options.seconds:
            name = next(rounds) if rounds else draws.choices(names, weights)[0]
            hits, kills = 0, options.kill or harness.random_kills(name, draws)
            try:
                hits = harness.try_kills(name, kills)
                killed, by_name[name] = killed + hits, by_name[name] + hits
            except Found as error:
                findings, killed = findings + 1, killed + len(kills)
                least = harness.shrink(name, kills)
                words = " ".join(f"--kill {kill}" for kill in least)
                print(f"FOUND in {name!r} by {kills} (seed {seed}): {error}\nagain: --scenario {name!r} {words}")
                print("a test of it:\n\n" + _as_test(name, least), flush=True)
            if killed // 100 > (killed - hits) // 100:
                print(f"{killed} kills in {time.monotonic() - began:.0f} s, {findings} findings; {by_name}", flush=True)
            if options.kill or (findings and options.first):
                break
        harness.close()
    took = time.monotonic() - began
    print(f"{killed} kills in {took:.0f} s, {findings} findings; {by_name}", flush=True)
    return 1 if findings else 0


def _as_test(name: str, kills: list[str]) -> str:
    words = name.replace(" ", "_")
    return (
        f"def test_a_kill_that_was_found_in_{words}(tmp_path):\n    harness = Harness(tmp_path, [{name!r}])\n"
        f"    harness.try_kills({name!r}, {kills!r})\n"
    )


if __name__ == "__main__":
    sys.exit(main())
