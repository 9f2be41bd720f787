"""The sections of a report, each a function from the run to markup; what a run lacks is said in its place."""

import base64
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from drml.core.errors import InputError
from drml.core.fault import label
from drml.core.plain_files import read_plain
from drml.report.figures import Drawing
from drml.report.markup import (
    amount,
    count,
    decimal,
    decimals_for,
    duration,
    number,
    parameter,
    plural,
    share,
    table,
    text,
)
from drml.report.parts import absent, plotted, section
from drml.report.record import Evaluation, Film, RunRecord, StepReturn, TaskReturn

Drawings = Mapping[str, Drawing]
ARROW = (
    '<svg viewBox="0 0 56 20" fill="none" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"'
    ' aria-hidden="true"><path d="M2 10h50M45 3l7 7-7 7"/></svg>'
)


def header(run: RunRecord) -> str:
    """Return the title and, in big numbers, what adaptation brought and what that cost."""
    title = f'<h1>{text(run.learner)} <span class="on">on</span> {text(run.suite)}</h1>'
    return (
        f'<header><p class="eyebrow">Run report · seed {run.seed}</p>{title}</header>\n'
        f'<div class="hero card">{_returns(run)}{_budget(run)}</div>'
    )


def _returns(run: RunRecord) -> str:
    found = run.evaluation
    if found is not None:
        before, after = found.return_by_step[0], found.return_by_step[found.adapted_index]
        decimals = decimals_for((before.mean, after.mean))
        intervals = (_interval(before, found.estimand, decimals), _interval(after, found.estimand, decimals))
        lead = (
            f"Return per episode: mean over {plural(len(found.tasks), 'task')} of the "
            f"{text(found.split)} split, played by the policy that did best on validation tasks."
        )
        return _big(before.mean, after.mean, intervals, after.step, lead) + _held_out_note(found)
    if not run.train:
        return '<p class="absent">No meta-iteration has been logged yet.</p>'
    newest = run.train[-1]
    lead = f"Mean training return in meta-iteration {newest.meta_iter}. This run has not been tested yet."
    return _big(newest.pre_return, newest.post_return, ("training tasks", "training tasks"), None, lead)


def _interval(found: StepReturn, estimand: str, decimals: int) -> str:
    if not estimand:
        return "no interval: tested by an older version"
    if not math.isfinite(found.half_width):
        return f"no interval {estimand}: no spread to tell it from"
    return f"95 % interval {decimal(found.low, decimals)} to {decimal(found.high, decimals)} {estimand}"


def _big(pre: float, post: float, below: tuple[str, str], step: int | None, lead: str) -> str:
    before, after = (number(value, decimals_for((pre, post))) for value in (pre, post))
    when = "after adaptation" if step is None else f"after {plural(step, 'adaptation step')}"
    return (
        '<div class="returns">'
        f'<p class="before"><span class="label">before adaptation</span><span class="big">{before}</span>'
        f'<span class="interval">{below[0]}</span></p><div class="arrow">{ARROW}</div>'
        f'<p class="after"><span class="label">{when}</span><span class="big">{after}</span>'
        f'<span class="interval">{below[1]}</span></p></div><p class="lead">{lead}</p>'
    )


def _held_out_note(found: Evaluation) -> str:
    if found.held_out:
        return ""
    return (
        '<p class="note" style="margin:-8px 0 28px">This family has no held-out tasks: the test tasks are the training '
        "tasks, met with fresh randomness. The numbers show adaptation, not generalisation to new tasks.</p>"
    )


def _budget(run: RunRecord) -> str:
    facts: list[tuple[str, str]] = []
    spent = run.evaluation or (run.train[-1] if run.train else None)
    if spent is not None:
        facts += [
            ("Environment steps", count(spent.env_steps)),
            ("Training time", duration(spent.seconds)),
            ("Steps per second", count(spent.env_steps / spent.seconds) if spent.seconds > 0 else "–"),
        ]
    if run.train:
        facts.append(("Meta-iterations", count(run.train[-1].meta_iter)))
    best = [point.meta_iter for point in run.validation if point.is_best]
    if run.evaluation is not None or best:
        meta_iter = best[-1] if run.evaluation is None else run.evaluation.best_meta_iter
        facts.append(("Best policy", f"iteration {count(meta_iter)}"))
    if not facts:
        return ""
    return f'<dl class="facts">{"".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)}</dl>'


def adaptation(run: RunRecord, drawings: Drawings) -> str:
    """Return the section of the adaptation curve."""
    found = run.evaluation
    if found is None:
        return section("Adaptation", "", absent("This run has not been tested yet: there is no test.json."))
    whose = "held-out tasks" if found.held_out else "the tasks of this family"
    lead = (
        f"Return on {whose}, {count(found.return_by_step[0].step)} to "
        f"{plural(found.return_by_step[-1].step, 'step')} of adaptation after meeting them. {_band(found)}"
    )
    key = (("post", "mean"), ("band", f"95 % interval {found.estimand}"), ("thin", "single tasks"))
    plot = plotted(drawings["adaptation"], "Return by adaptation step", key, _taken(found.return_by_step))
    return section("Adaptation", lead, plot)


def _taken(points: Iterable[StepReturn]) -> str:
    """Return what came before each point of the curve; '' where the test was of a version that did not say."""
    listed = [
        f"step {point.step}: {amount(point.episodes, 'episode')}, {amount(point.env_steps, 'env step')}"
        for point in points
        if point.step and math.isfinite(point.env_steps)
    ]
    return f"Taken by one agent before it, mean over tasks: {'; '.join(listed)}." if listed else ""


def _band(found: Evaluation) -> str:
    """Return what the band around the mean says, and what it does not."""
    if not found.estimand:
        return "It was tested by an older version, whose intervals are not shown: test the run anew."
    what = "which tasks were drawn" if found.over == "tasks" else "how adaptation and its episodes went"
    return f"The band shows how far the mean depends on {what} (Student's t); other seeds are not in it."


def learning(run: RunRecord, drawings: Drawings) -> str:
    """Return the section of the learning curve."""
    if "learning" not in drawings:
        return section("Learning", "", absent("No meta-iteration has been logged yet: there is no metrics.jsonl."))
    lead = (
        "Training returns as meta-training goes on; heavy lines are running means. The validation tasks stay the same."
    )
    newest = run.train[-1] if run.train else None
    taken = ""
    if newest and math.isfinite(newest.adapt_env_steps):
        episodes, env_steps = amount(newest.adapt_episodes, "episode"), amount(newest.adapt_env_steps, "env step")
        taken = f"Between before and after lie {episodes} and {env_steps} of one agent (last meta-iteration)."
    key = (
        ("pre", "before adaptation"),
        ("post", "after adaptation"),
        ("dot", "validation tasks, after adaptation"),
        ("ring", "best policy"),
    )
    return section("Learning", lead, plotted(drawings["learning"], "Training return by environment steps", key, taken))


def films(run: RunRecord) -> str:
    """Return the section of the films: for each task, before and after adaptation side by side."""
    if run.films.unavailable:
        return section("Before and after", "", absent(text(run.films.unavailable)))
    by_task: dict[int | str, list[Film]] = {}
    for film in run.films.films:
        by_task.setdefault(film.task if film.row is None else film.row, []).append(film)
    cards = [
        f'<div class="pair card"><h3>{text(shown[0].task)}</h3><div class="films">'
        f"{''.join(_film(film) for film in sorted(shown, key=lambda film: film.step))}</div></div>"
        for shown in by_task.values()
    ]
    lead = "One policy, the same task: as it comes, and once it has adapted."
    return section("Before and after", lead, "".join(cards) or absent("This run has not been filmed."))


def _film(film: Film) -> str:
    when = "before adaptation" if film.step == 0 else f"after {plural(film.step, 'adaptation step')}"
    strip = "" if film.strip is None else _picture(film.strip, "image/png", "strip", f"Six moments, {when}")
    return (
        f'<figure class="film {"before" if film.step == 0 else "after"}"><figcaption><span>{when}</span>'
        f"<b>{'success, ' * film.success}return {number(film.episode_return)}</b></figcaption>"
        f"{_picture(film.file, 'image/webp', 'moving', f'Film of {film.task}, {when}')}{strip}</figure>"
    )


def _picture(path: Path, kind: str, style: str, alt: str) -> str:
    try:
        data = base64.b64encode(read_plain(path)).decode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; film the run anew") from error
    return f'<img class="{style}" alt="{text(alt)}" src="data:{kind};base64,{data}">'


def tasks(run: RunRecord) -> str:
    """Return the section of the tasks one by one."""
    found = run.evaluation
    if found is None or not found.tasks:
        return ""
    names = list(dict.fromkeys(name for task in found.tasks for name in task.params))
    head = [
        *(("name" if i == 0 else "", text(name)) for i, name in enumerate(names)),
        *(("", "before"), ("", "after"), ("gain", "gain"), ("dumbbell", "before to after")),
        *(("", "success before"), ("", "after")) * any(task.success_any_by_step for task in found.tasks),
    ]
    adapted = found.adapted_index
    ends = [task.return_by_step[step] for task in found.tasks for step in (0, adapted)]
    is_finite = [value for value in ends if math.isfinite(value)] or [0.0]
    low, high = min(is_finite), max(is_finite)
    decimals = decimals_for(is_finite)
    rows = [
        [
            *(parameter(task.params.get(name, "")) for name in names),
            _spread(task, 0, decimals),
            _spread(task, adapted, decimals),
            number(task.return_by_step[adapted] - task.return_by_step[0], decimals, signed=True),
            _dumbbell(task.return_by_step[0], task.return_by_step[adapted], low, high),
            *(share(task.success_any_by_step[step], 1.0) for step in (0, adapted) if task.success_any_by_step),
        ]
        for task in found.tasks
    ]
    when = plural(found.return_by_step[adapted].step, "step")
    lead = f"Mean return and its standard deviation over episodes, before adaptation and after {when} of it."
    return section("Task by task", lead, f'<div class="card table">{table(head, rows)}</div>')


def _spread(task: TaskReturn, step: int, decimals: int) -> str:
    mean, std = number(task.return_by_step[step], decimals), decimal(task.std_by_step[step], decimals)
    return f'{mean} <span class="spread">± {std}</span>'


def _dumbbell(pre: float, post: float, low: float, high: float) -> str:
    if not (math.isfinite(pre) and math.isfinite(post)):
        return ""
    width = high - low or 1.0
    x, y = (6 + 138 * (value - low) / width for value in (pre, post))
    zero = 6 + 138 * (0.0 - low) / width
    axis = f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="-6" y2="20"/>' if low <= 0.0 <= high else ""
    return (
        f'<svg viewBox="0 0 150 14" aria-hidden="true">{axis}<line x1="{x:.1f}" x2="{y:.1f}" y1="7" y2="7"/>'
        f'<circle class="pre" cx="{x:.1f}" cy="7" r="4"/><circle class="post" cx="{y:.1f}" cy="7" r="5"/></svg>'
    )


def faults(run: RunRecord) -> str:
    """Return the section of the tasks whose environment failed; '' where none did."""
    unmeasured = () if run.evaluation is None else run.evaluation.unmeasured
    if not (run.faults or unmeasured):
        return ""
    newest = {fault.task: fault for fault in run.faults}
    first = {fault.task: fault for fault in reversed(run.faults)}
    rows = [
        [
            text(label(fault.params)),
            str(fault.strikes),
            "quarantined" if fault.is_quarantined else "met again",
            count(first[task].meta_iter),
            text(first[task].text),
        ]
        for task, fault in newest.items()
    ]
    head = (("name", "task"), ("", "strikes"), ("", ""), ("", "since iteration"), ("name", "what failed first"))
    lead = (
        "Their episodes were dropped and never learned from; with the third strike a task is met no more. The other "
        "tasks' data are what they would have been without them."
    )
    found = f'<div class="card table">{table(head, rows)}</div>' if rows else ""
    listed = "".join(f'<p class="note">not measured: {text(line)}</p>' for line in unmeasured)
    return section("Faulty tasks", lead, found + listed)


def warnings(run: RunRecord) -> str:
    """Return the section of what the training warned of; '' where it did of nothing."""
    if not run.warnings:
        return ""
    newest = {warning.name: warning for warning in run.warnings}
    times = Counter(warning.name for warning in run.warnings)
    rows = [[text(name), count(times[name]), text(warning.text)] for name, warning in newest.items()]
    head = (("name", "warning"), ("", "meta-iterations"), ("name", "what the last one said"))
    lead = "What a reader of the results has to know about the numbers of the training."
    return section("Warnings", lead, f'<div class="card table">{table(head, rows)}</div>')


def seconds(run: RunRecord, drawings: Drawings) -> str:
    """Return the section of where the time went."""
    if run.evaluation is None or "phases" not in drawings:
        return ""
    phases = run.evaluation.phases
    total = sum(value for value in phases.values() if math.isfinite(value))
    rows = [
        (text(name), f'<data value="{value!r}">{duration(value)}</data>', share(value, total))
        for name, value in sorted(phases.items(), key=lambda item: -item[1] if math.isfinite(item[1]) else math.inf)
    ]
    head = (("name", "phase"), ("", "time"), ("", "share"))
    plot = plotted(drawings["phases"], "Seconds by phase", ())
    lead = f"The last stretch of training: {duration(total)} in timed phases."
    return section(
        "Where the time went", lead, f'<div class="time">{plot}<div class="card table">{table(head, rows)}</div></div>'
    )


def settings(run: RunRecord) -> str:
    """Return the section of configuration and versions."""
    single = {key: value for key, value in run.config.items() if not isinstance(value, dict)}
    groups = [("run", single), *((key, value) for key, value in run.config.items() if isinstance(value, dict))]
    cards = [
        f'<div class="card"><h3>{text(title.replace("_", " "))}</h3><dl>{_settings(values)}</dl></div>'
        for title, values in groups
        if values
    ]
    return section("Configuration", "", f'<div class="settings">{"".join(cards)}</div>')


def _settings(values: Mapping[str, object]) -> str:
    return "".join(f"<dt>{text(key)}</dt><dd>{text(_shown(value))}</dd>" for key, value in _flat(values))


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(str(_shown(element)) for element in value) or "none"
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else value


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
