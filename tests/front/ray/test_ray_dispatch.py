"""Which worker makes which run: losses, back-pressure, workers that may not be used, without a cluster."""

import importlib.util
import itertools
import random
import sys
from pathlib import Path

import pytest
from inlay.graph_runtime.core.errors import Cancelled, WorkflowError
from inlay.graph_runtime.front.jobs.outcome import Outcome
from inlay.graph_runtime.front.ray.dispatch import STILLBORN, TRIES, Dispatch, News, Ready


class Workers:
    """A cluster of workers that answer in any order, and may be lost."""

    def __init__(self, seed=0, loses=lambda slot, number: False, starts=lambda slot: True, dead=lambda *at: False):
        self.random, self.loses, self.starts, self.dead = random.Random(seed), loses, starts, dead
        self.waiting, self.given, self.started, self.closed = [], [], 0, False

    def start(self, slot):
        self.started += 1
        self.waiting = [one for one in self.waiting if one.slot != slot]
        if self.starts(slot):
            self.waiting.append(News(slot, "ready", {"node": f"node-{slot}"}))
        else:
            self.waiting.append(News(slot, "lost", {"why": "no room"}))

    def give(self, slot, message):
        number = message["number"]
        assert not any(one.slot == slot for one in self.waiting), "a worker has one run at a time"
        self.given.append((slot, number))
        if self.dead(slot, number):
            failed = Outcome(str(number), {}, "failed", lost="GPU is lost", ran=True)
            self.waiting.append(News(slot, "made", {"number": number, "outcome": failed.as_json()}))
            return
        lost = self.loses(slot, number)
        self.waiting.append(News(slot, "lost", {"why": "killed"}) if lost else News(slot, "made", {"number": number}))

    def news(self, seconds):
        if seconds and self.waiting:
            yield self.waiting.pop(self.random.randrange(len(self.waiting)))

    def close(self):
        self.closed = True


class Numbers:
    """Runs that are numbers."""

    def __init__(self, numbers, refuses=(), known=()):
        self.numbers, self.refuses, self.known = iter(numbers), refuses, known
        self.prepared = self.written = self.most = 0
        self.told, self.broken = [], set()

    def accept(self, hello):
        if hello["node"] in self.broken:
            raise WorkflowError.of("--engine ray", found="no GPU", expected="one", fix="none")
        return hello["node"] not in self.refuses

    def next(self, slot):
        number = next(self.numbers, None)
        if number is None:
            return None
        if number in self.known:
            return Ready(number, outcome=Outcome(str(number), {}, "known"))
        self.prepared += 1
        self.most = max(self.most, self.prepared - self.written)
        return Ready(number, {"number": number})

    def begun(self, ready):
        self.told.append(ready.number)

    def made(self, number, value):
        assert value["number"] == number
        self.written += 1
        if "outcome" in value:
            return Outcome.from_json(value["outcome"])
        return Outcome(str(number), {}, "done")

    def given_up(self, number, why):
        return Outcome(str(number), {}, "failed")

    def waits(self, seconds):
        self.told.append("waits")


def results(dispatch):
    found = list(dispatch.outcomes())
    assert dispatch.cluster.closed
    return found


@pytest.mark.parametrize("seed", range(20))
def test_no_run_is_lost_or_counted_twice_whichever_workers_are_lost(seed):
    chance = random.Random(seed)
    left = {number: chance.choice([0, 0, 0, 1, TRIES - 1]) for number in range(60)}

    def loses(slot, number):
        left[number] -= 1
        return left[number] >= 0

    expected = sum(left.values())
    runs = Numbers(range(60), known={5, 6, 59})
    expected -= sum(left[number] for number in runs.known)
    dispatch = Dispatch(Workers(seed, loses), runs, chance.randint(1, 7), lambda: None)
    found = results(dispatch)
    assert sorted(number for number, _ in found) == list(range(60))
    assert {number for number, outcome in found if outcome.status == "known"} == {5, 6, 59}
    assert not [one for _, one in found if one.status == "failed"]
    assert (dispatch.losses.workers, dispatch.losses.runs) == (expected, expected)
    assert sorted(runs.told) == sorted(set(range(60)) - runs.known), "a run is announced once"


def test_a_run_that_takes_its_workers_with_it_fails_and_the_others_are_made():
    dispatch = Dispatch(Workers(1, lambda slot, number: number == 3), Numbers(range(10)), 2, lambda: None)
    found = dict(results(dispatch))
    assert [number for number, one in found.items() if one.status == "failed"] == [3]
    assert len(found) == 10
    assert dispatch.losses.workers == TRIES


@pytest.mark.parametrize("seed", range(10))
def test_a_worker_whose_device_is_lost_is_replaced_and_its_run_is_made_elsewhere(seed):
    dead = set()

    def lost(slot, number):
        if slot == 1 and number > 20 and not dead:
            dead.add(number)
            return True
        return False

    workers = Workers(seed, dead=lost)
    dispatch = Dispatch(workers, Numbers(range(60)), 3, lambda: None)
    found = results(dispatch)
    assert sorted(number for number, _ in found) == list(range(60))
    assert {one.status for _, one in found} == {"done"}
    assert not any(one.lost for _, one in found), "the sweep goes on"
    assert workers.started == 4
    (number,) = dead
    assert [slot == 1 for slot, made in workers.given if made == number] == [True, False]
    assert any(slot == 1 for slot, _ in workers.given[workers.given.index((1, number)) + 1 :]), "the new one works"
    assert (dispatch.losses.workers, dispatch.losses.runs, dispatch.losses.device) == (1, 1, "GPU is lost")


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("broken", [False, True])
def test_a_place_whose_device_stays_away_is_used_no_longer_and_the_others_make_all(seed, broken):
    workers, runs = Workers(seed, dead=lambda slot, number: slot == 1), Numbers(range(40))
    start = workers.start

    def restarted(slot):
        runs.broken |= {"node-1"} if broken and workers.started >= 3 else set()
        start(slot)

    workers.start = restarted
    found = results(Dispatch(workers, runs, 3, lambda: None))
    assert sorted(number for number, _ in found) == list(range(40))
    assert {one.status for _, one in found} == {"done"}
    assert [slot for slot, _ in workers.given].count(1) == (1 if broken else 2)


def test_where_no_device_answers_any_more_the_sweep_ends_and_says_so():
    for seed, places in itertools.product(range(5), (1, 2, 3)):
        workers = Workers(seed, dead=lambda slot, number: True)
        found = results(Dispatch(workers, Numbers(itertools.count()), places, lambda: None))
        assert found[-1][1].lost == "GPU is lost", "what ends a sweep"
        assert not any(one.lost for _, one in found[:-1])
        assert len(workers.given) <= 3 * places + 1
    runs = Numbers(range(9))
    workers = Workers(1, dead=lambda slot, number: runs.broken.add("node-0") is None)
    with pytest.raises(WorkflowError, match="no device that answers: GPU is lost"):
        results(Dispatch(workers, runs, 1, lambda: None))


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_takes_every_device_with_it_fails_and_the_others_are_made(seed):
    workers = Workers(seed, dead=lambda slot, number: number == 3)
    found = dict(results(Dispatch(workers, Numbers(range(20)), 3, lambda: None)))
    assert [number for number, one in found.items() if one.status == "failed"] == [3]
    assert len(found) == 20
    assert not found[3].lost
    assert {slot for slot, number in workers.given if number == 3} == {0, 1, 2}, "each device tried it"


def test_no_more_than_one_run_a_worker_is_prepared_ahead():
    runs = Numbers(itertools.count())
    dispatch = Dispatch(Workers(2), runs, 4, lambda: None)
    stream = dispatch.outcomes()
    assert len(list(itertools.islice(stream, 500))) == 500
    assert 4 < runs.most <= 2 * 4 + 1  # one more while its files are written
    stream.close()
    assert dispatch.cluster.closed, "whoever stops listening stops all workers"


def test_a_worker_that_may_not_be_used_is_given_nothing():
    workers = Workers(3)
    found = results(Dispatch(workers, Numbers(range(9), refuses={"node-1"}), 3, lambda: None))
    assert len(found) == 9
    assert {slot for slot, _ in workers.given} == {0, 2}


def test_where_no_worker_may_be_used_nothing_runs():
    workers = Workers(4)
    with pytest.raises(WorkflowError, match="no worker that may be used"):
        results(Dispatch(workers, Numbers(range(9), refuses={"node-0", "node-1"}), 2, lambda: None))
    assert workers.closed
    assert not workers.given


def test_workers_that_do_not_start_end_the_sweep_and_one_that_does_not_is_made_up_for():
    workers = Workers(5, starts=lambda slot: False)
    with pytest.raises(WorkflowError, match="workers that do not start: no room"):
        results(Dispatch(workers, Numbers(range(9)), 2, lambda: None))
    assert workers.started == 2 * STILLBORN
    assert len(results(Dispatch(Workers(6, starts=lambda slot: slot != 1), Numbers(range(9)), 2, lambda: None))) == 9


def test_a_wish_to_stop_ends_all_workers():
    workers, asked = Workers(7), itertools.count()

    def check():
        if next(asked) > 20:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        results(Dispatch(workers, Numbers(itertools.count()), 3, check))
    assert workers.closed


def test_a_user_is_told_when_no_worker_is_ready_for_long():
    workers, runs = Workers(8), Numbers(range(3))
    news, seconds = workers.news, itertools.count(step=10)
    workers.news = lambda wait: news(wait) if len(runs.told) else iter(())
    assert len(results(Dispatch(workers, runs, 1, lambda: None, lambda: float(next(seconds))))) == 3
    assert runs.told == ["waits", 0, 1, 2]


def simulated():
    path = Path(__file__).parents[3] / "benchmarks" / "ray" / "simulated.py"
    spec = importlib.util.spec_from_file_location("simulated_ray", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulated_ray"] = module
    spec.loader.exec_module(module)
    return module


def test_sixty_four_workers_are_at_work_for_95_hundredths_of_the_time_in_simulated_time():
    """With 15 ms for the driver's part of a run, and 50 ms on the way: the docs say what was measured."""
    one = simulated()
    assert one.efficiency(one.Costs(0.0075, 0.0075, 0.05, [1.8, 2.0, 2.2]), workers=64, count=64 * 30) >= 0.95
    slow = one.efficiency(one.Costs(0.05, 0.05, 0.05, [2.0]), workers=64, count=64 * 10)
    assert slow < 0.4, "a driver that takes 0.1 s a run keeps twenty workers at work, not 64"
