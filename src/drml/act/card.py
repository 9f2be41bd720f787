"""Model card of a saved agent: what the hubs of the field read first (YAML), then what people do (Markdown)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from drml.act.learned import Learned
from drml.act.snapshot import Held
from drml.core.errors import InputError
from drml.core.printable import one_line
from drml.loop.stats import estimand

LICENCE = "apache-2.0"


def card_of(learned: Learned, held: Held | None, licence: str) -> str:
    """Return the card as text.

    Args:
        learned: what is saved.
        held: sessions that are saved with it; None for an agent that has met no task.
        licence: of the weights, by the name that the hubs have for it.
    """
    parts = [
        f"---\n{_front_matter(learned, licence)}---\n",
        f"# {_plain(learned.config.learner)} on {_plain(learned.config.suite)}\n",
        _summary(learned, held),
        _use(held),
        _curve(learned.facts.get("tested", {})),
        "" if held is None else _sessions(held),
        _table("Tasks", _task_facts(learned)),
        _table("Training", _training(learned)),
        _table("Versions", learned.facts.get("versions", {})),
        _licence(licence),
    ]
    return "\n".join(part for part in parts if part)


def check_licence(licence: str) -> str:
    """Return a licence's name.

    Raises:
        InputError: if it is no text of one line.
    """
    if not isinstance(licence, str) or not licence or one_line(licence) != licence:  # pyright: ignore[reportUnnecessaryIsInstance] — the user's
        raise InputError(f"save: license is {licence!r}, expected a name such as 'apache-2.0' or 'other'")
    return licence


def _front_matter(learned: Learned, licence: str) -> str:
    config = learned.config
    tags = ["reinforcement-learning", "deep-reinforcement-learning", "meta-learning", config.suite, config.learner]
    lines = [f"library_name: {_yaml('drml')}", f"license: {_yaml(licence)}", "pipeline_tag: reinforcement-learning"]
    lines += ["tags:", *(f"- {_yaml(tag)}" for tag in tags), *_model_index(learned)]
    return "\n".join(lines) + "\n"


def _model_index(learned: Learned) -> list[str]:
    """Return the results in the hubs' form: the mean return after the last step of the run's test."""
    points = learned.facts.get("tested", {}).get("return_by_step", [])
    if not points:
        return []
    config, last = learned.config, points[-1]
    lines = [
        "model-index:",
        f"- name: {_yaml(config.learner)}",
        "  results:",
        "  - task:",
        "      type: reinforcement-learning",
        "      name: reinforcement-learning",
        "    dataset:",
        f"      name: {_yaml(config.suite)}",
        f"      type: {_yaml(config.suite)}",
        "    metrics:",
    ]
    named = f"mean return after {_steps(last['step'])}"
    lines += ["    - type: mean_reward", f"      value: {_yaml(_measured(last, '+/-'))}", f"      name: {_yaml(named)}"]
    return [*lines, "      verified: false"]


def _summary(learned: Learned, held: Held | None) -> str:
    config = learned.config
    what = "An agent that has learned to adapt to new tasks" if held is None else "An agent that is adapting to a task"
    return (
        f"{what}: the learner `{_plain(config.learner)}`, meta-trained on the tasks "
        f"`{_plain(config.suite)}` by [drml](https://pypi.org/project/drml/), deep reinforcement meta-learning on "
        "PyTorch.\n"
    )


def _use(held: Held | None) -> str:
    begin = "agent = drml.load(DIRECTORY)" + (".start()" if held is None else "  # goes on where it was")
    many = held is not None and held.sessions.elapsed.size > 1
    loop = "observations of all its copies" if many else "observation"
    return (
        "## Use\n\n```python\nimport drml\n\n"
        f"{begin}\naction = agent.act(observation)  # {loop} of the space below, from your environment\n"
        "agent.observe(reward, terminated, truncated)  # what came of it\n"
        "agent.adapt()  # between episodes, as often as wanted\n```\n"
    )


def _curve(tested: Mapping[str, Any]) -> str:
    points = tested.get("return_by_step", [])
    if not points:
        return "## Adaptation\n\nThe run had not been tested when this was saved.\n"
    known = points[-1]
    over = f" Intervals (95 %) are {estimand(known['over'], known['count'])}." if known["over"] else ""
    header = ("adaptation steps", "mean return", "episodes taken", "environment steps taken")
    rows = [(str(p["step"]), _measured(p, "±"), _count(p["episodes"]), _count(p["env_steps"])) for p in points]
    return f"## Adaptation\n\nTest tasks: split `{_plain(tested['split'])}`.{over}\n\n{_rows(header, rows)}\n"


def _sessions(held: Held) -> str:
    sessions = held.sessions
    rows: list[tuple[str, ...]] = []
    for k, (name, steps) in enumerate(zip(sessions.ids.tolist(), sessions.steps, strict=True)):
        change = sessions.tally.change(k)
        means = [f"{sum(x) / len(x):.4g} ({len(x)})" if x else "" for x in (change.before, change.after)]
        rows.append((str(name), str(steps), *means))
    header = ("session", "adaptation steps", "mean return before the last step (episodes)", "since it (episodes)")
    copies = sessions.elapsed.shape[1]
    named = f"{copies} {'copies' if copies > 1 else 'copy'} of an environment in each session."
    return f"## Sessions\n\n{named}\n\n{_rows(header, rows)}\n"


def _task_facts(learned: Learned) -> dict[str, Any]:
    interface = learned.interface
    spaces = {"observation space": interface.observation_space, "action space": interface.action_space}
    kept: Mapping[str, Any] = learned.facts.get("tasks", {})
    return {"suite": learned.config.suite, **spaces, **kept, "horizon": f"{interface.horizon} steps"}


def _training(learned: Learned) -> dict[str, Any]:
    config, reached = learned.config, learned.facts.get("reached", {})
    settings = {"learner": config.learner_config, "policy": config.policy, "sampler": config.sampler}
    settings |= {"normalise": config.normalise} if config.normalise.observations else {}
    return {**settings, "seed": config.seed, **{name.replace("_", " "): value for name, value in reached.items()}}


def _licence(licence: str) -> str:
    owner = (
        "" if licence != LICENCE else " That is the library's own; the weights are yours: name another by `license=`."
    )
    return f"## Licence\n\nThese weights: `{_plain(licence)}`.{owner}\n"


def _table(title: str, facts: Mapping[str, Any]) -> str:
    return (
        f"## {title}\n\n{_rows(('', ''), [(name, _plain(value)) for name, value in facts.items()])}\n" if facts else ""
    )


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _measured(point: Mapping[str, Any], sign: str) -> str:
    if point["mean"] is None:
        return "unknown"
    width = point["mean_half_width_95"]
    return f"{point['mean']:.4g}" + ("" if width is None else f" {sign} {width:.3g}")


def _steps(count: int) -> str:
    return f"{count} adaptation {'step' if count == 1 else 'steps'}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _plain(value: object) -> str:
    """Return foreign text as one line that no table or paragraph of Markdown takes for its own."""
    return one_line(value).replace("\\|", "|").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _yaml(text: str) -> str:
    """Return a text as YAML: as it is where that is safe, else quoted as JSON, which YAML reads."""
    safe = text.replace("-", "").replace("_", "").replace(".", "").isalnum() and text.isascii() and text[0].isalpha()
    return (
        text if safe and text.lower() not in ("yes", "no", "true", "false", "null", "on", "off") else json.dumps(text)
    )
