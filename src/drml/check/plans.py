"""Plans of a check: each recording differs in one thing from `base`, so that a difference has one cause."""

from collections.abc import Iterator

from drml.check.evidence import Plan, Style

BASE = Plan("base")
AGAIN = Plan("again")  # nothing differs
OTHER_GLOBAL = Plan("other global seed", global_seed=1)
AHEAD = Plan("a day later", clock="ahead")
TICKING, TICKING_AGAIN = Plan("ticking", clock="ticking"), Plan("ticking again", clock="ticking")
TICKING_AT_LAST = Plan("ticking, at the end", clock="ticking")  # nothing differs but what the process has lived through
USED = Plan("used before", warm_up=True)
STYLES: tuple[Style, ...] = ("random", "held", "corners")
SEEDS = (1, 2)


def plans(num_tasks: int) -> Iterator[Plan]:
    """Yield the plans for a subject with so many tasks, the most telling first."""
    yield from (BASE, AGAIN, TICKING, TICKING_AGAIN)
    for task in range(num_tasks):
        yield from (of_task(task, style) for style in STYLES if task or style != "random")
        yield of_task(task, "random", SEEDS[0])
    yield of_task(0, "random", SEEDS[1])
    yield from (OTHER_GLOBAL, AHEAD, USED)
    yield beside(num_tasks)
    yield TICKING_AT_LAST


def of_task(task: int, style: Style, seed: int = 0) -> Plan:
    """Return the plan of one task in one style; task 0 with random actions and seed 0 is `base`."""
    return Plan(f"task {task}, {style}, seed {seed}", task, seed, style) if task or seed or style != "random" else BASE


def beside(num_tasks: int) -> Plan:
    """Return the plan that steps an instance of another task in turn with `base`'s."""
    return Plan("two side by side", beside=another(num_tasks))


def another(num_tasks: int) -> int:
    """Return a task that differs from the first one, where there is one."""
    return min(1, num_tasks - 1)
