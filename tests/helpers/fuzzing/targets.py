"""What is fuzzed: each target makes a base and mutates it. A case follows from (target, seed, number) alone."""

from . import model_cases, picture_cases, record_cases, word_cases, workflow_cases
from .case import Plan, random_of

TARGETS = {
    target.name: target
    for module in (workflow_cases, picture_cases, model_cases, record_cases, word_cases)
    for target in module.TARGETS
}


def plan_of(target, seed, number):
    """The plan of a case: mostly few mutations, since a file that is wrong in many ways is refused for the first."""
    rng = random_of(target, seed, number)
    mutations = TARGETS[target].mutations
    count = rng.choice((0, 1, 1, 1, 2, 2, 3, 5))
    weighted = [name for name, weight in mutations.items() for _ in range(weight)]
    chosen = tuple((rng.choice(weighted), rng.getrandbits(32)) for _ in range(count))
    return Plan(target, rng.getrandbits(48), chosen)


def build(plan):
    """The case of a plan."""
    return TARGETS[plan.target].build(plan)


def needs_of(names):
    """The model folders that targets need."""
    return sorted({need for name in names for need in TARGETS[name].needs})
