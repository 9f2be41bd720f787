"""Training and looking at what came of it, from Python.

    import drml

    run = drml.train("half-cheetah-dir-promp-v1", "promp")
    run.test()
    run.report()
    agent = run.agent().start()

A run is a directory; `Run` is a handle on it that holds nothing of its own, so that two handles on one directory, or a
handle and the command line, see the same. `drml.session` has the same acts as functions, with more to choose.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from drml.act.loading import load_meta
from drml.act.meta_agent import MetaAgent
from drml.algos.normalised import NormaliseConfig
from drml.algos.registry import AnyConfig, AnyPolicyConfig
from drml.core.errors import DrmlError
from drml.core.printable import one_line
from drml.envs.api import Isolation
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress, StopReason
from drml.loop.trainer import Listener
from drml.run import session
from drml.run.config import RunConfig, read_config
from drml.run.log import read_rows
from drml.tasks.distribution import Split
from drml.tasks.samplers.registry import SamplerConfig
from drml.use.naming import TaskSource, name_of
from drml.use.notes import adaptation_step, notes_of
from drml.use.pages import check_can_film, film_tested, write_page
from drml.use.place import default_place
from drml.use.progress import PrintedProgress, ended_line, say
from drml.use.settings import env_options, run_config, with_sizes

Train = Callable[[Sequence[Listener]], tuple[Progress, StopReason]]


@final
@dataclass(frozen=True, repr=False)
class Run:
    """A handle on a run's directory."""

    path: Path
    """The directory."""
    verbose: bool = True
    """True also prints progress and results, a line each."""

    @staticmethod
    def at(path: Path | str, verbose: bool = True) -> "Run":
        """Return a handle on a run that is there.

        Raises:
            InputError: if there is no run, or its configuration is damaged.
        """
        run = Run(Path(path).absolute(), verbose)
        _ = run.config  # refused now, where the path stands, and not at the first use
        return run

    @property
    def config(self) -> RunConfig:
        """Return what was asked for.

        Raises:
            InputError: if there is no run, or its configuration is damaged.
        """
        return read_config(self.path)

    def rows(self) -> list[dict[str, Any]]:
        """Return what was measured, in order: a row for each meta-iteration and each validation.

        Raises:
            InputError: if the log is missing or damaged.
        """
        return read_rows(self.path)

    def test(
        self,
        adapt_steps: int = 3,
        num_tasks: int = 40,
        copies: int = 20,
        split: Split = "test",
        *,
        seed: int = 0,
        deterministic: bool = False,
        film: int = 0,
        threads: int = 0,
        isolation: Isolation = Isolation(),  # noqa: B008 — frozen
    ) -> dict[str, Any]:
        """Adapt the best policy to tasks that were held out; return (and write to test.json) the adaptation curve.

        Args:
            adapt_steps: adaptation steps; may be more than in training.
            num_tasks: tasks to test on; where there are no more, each is met in several rounds.
            copies: episodes per task, round and step.
            split: which tasks: `test`, `ood` (out of the training range), `validation` or `train`.
            seed: root of the random streams of this test.
            deterministic: True also plays each point of the curve with the most likely actions; adaptation goes on
                from actions that are drawn from the policy in any case.
            film: so many tasks of the split are filmed, before and after adaptation, for the report.
            threads: simulator threads; 0 takes all cores.
            isolation: processes of their own for tasks.

        Raises:
            InputError: if there is no run, or a value is not right.
            CheckpointError: if the run has no checkpoint that can be loaded.
            EnvError: if no task could be measured.
        """
        options = env_options(threads, isolation)
        check_can_film(film)
        result = session.test(self.path, adapt_steps, num_tasks, copies, split, seed, options, deterministic)
        if self.verbose:
            say(_curve_line(result))
        if film:
            filmed = film_tested(self.path, film, copies, split, seed)
            if self.verbose:
                say(filmed)
        return result

    def agent(self) -> MetaAgent:
        """Return what the run has learned, ready to act on tasks of the user's own: `drml.load(run.path)`.

        Raises:
            CheckpointError: if there is no checkpoint yet that can be loaded.
        """
        return load_meta(self.path)

    def report(self, film: bool = False) -> Path:
        """Write the run's report, one self-contained page, and return its path; `film` films the best policy anew.

        Raises:
            InputError: if there is no run, a file of it is damaged, or `drml[report]` is not installed.
        """
        page = write_page(self.path, film)
        if self.verbose:
            say(f"report: {page}")
        return page

    def resume(
        self,
        *,
        train: TrainConfig | None = None,
        threads: int = 0,
        isolation: Isolation = Isolation(),  # noqa: B008 — frozen
        listeners: Sequence[Listener] = (),
        **sizes: Any,  # noqa: ANN401 — checked by name and type
    ) -> "Run":
        """Go on from the newest checkpoint until a stop rule holds, and return this handle.

        Args:
            train: sizes and stop rules; left out, as they were.
            threads: simulator threads; 0 takes all cores.
            isolation: processes of their own for tasks.
            listeners: are called with progress and rows after each meta-iteration.
            sizes: stop rules that change, by name, such as `meta_iters=1000`.

        Raises:
            InputError: if there is no run, it is in use, or more than stop rules would change.
            CheckpointError: if no checkpoint can be loaded.
        """
        before = self.config.train
        wanted = with_sizes(before if train is None else train, sizes)
        changed = None if wanted == before else wanted
        options = env_options(threads, isolation)
        return _watched(self, wanted, listeners, lambda heard: session.resume(self.path, heard, options, train=changed))

    def __repr__(self) -> str:
        try:
            config, rows = self.config, [row for row in self.rows() if row["kind"] == "train"]
        except (DrmlError, OSError) as error:
            return f"<Run {self.path}: {one_line(error)}>"
        what = one_line(f"{config.learner} on {config.suite}, seed {config.seed}")
        reached = f"{len(rows)} of {config.train.meta_iters} meta-iterations"
        last = f", return {rows[-1]['pre_return']:.1f} → {rows[-1]['post_return']:.1f} after adaptation" if rows else ""
        return f"<Run {self.path}: {what}; {reached}{last}>"


def train(
    suite: TaskSource,
    learner: str,
    *,
    out: Path | str | None = None,
    seed: int = 0,
    learner_config: AnyConfig | None = None,
    policy: AnyPolicyConfig | None = None,
    train: TrainConfig | None = None,
    sampler: SamplerConfig = SamplerConfig(),  # noqa: B008 — frozen
    normalise: NormaliseConfig = NormaliseConfig(),  # noqa: B008 — frozen
    threads: int = 0,
    isolation: Isolation = Isolation(),  # noqa: B008 — frozen
    listeners: Sequence[Listener] = (),
    verbose: bool = True,
    **sizes: Any,  # noqa: ANN401 — checked by name and type
) -> Run:
    """Meta-train a learner on a family of tasks, in a run directory of its own, and return the run.

    An interruption (Ctrl-C, a kernel that is stopped) costs what came since the newest checkpoint;
    `drml.Run.at(DIR).resume()` goes on from there.

    Args:
        suite: the tasks: a name that `drml list` shows, `"package.module:attribute"`, or what such a name stands for.
        learner: the learner's name.
        out: the run's directory, new or empty; left out, runs/SUITE-LEARNER-sSEED, numbered if taken.
        seed: root of all random streams.
        learner_config: hyper-parameters, such as `drml.ProMPConfig(inner=…)`; left out, the learner's default.
        policy: `drml.MLPConfig`, `drml.ModuleConfig` or `drml.MemoryConfig`; left out, the learner's default.
        train: sizes and stop rules.
        sampler: which tasks are met in training, such as `drml.SamplerConfig(kind="pool")`.
        normalise: what agents see in units of what training has seen: `drml.NormaliseConfig(observations=True)`.
        threads: simulator threads; 0 takes all cores.
        isolation: processes of their own for tasks.
        listeners: are called with progress and rows after each meta-iteration.
        verbose: whether progress and results are printed, a line each.
        sizes: fields of `drml.TrainConfig`, by name, such as `meta_iters=100, num_tasks=10`.

    Raises:
        InputError: if a name or a value is not right, or the directory holds something already.
        EnvError: if too many tasks fail.
        NumericError: if the training diverges; the run is saved as it was before.
    """
    here = Path.cwd()  # where paths are meant from, wherever a suite of the user's goes
    train = TrainConfig() if train is None else train
    config = run_config(name_of(suite), learner, learner_config, policy, train, sampler, normalise, seed, sizes)
    setup = session.set_up(config)  # complains before anything is written
    options = env_options(threads, isolation)
    with default_place(config, here) if out is None else nullcontext(here / out) as place:
        if verbose:
            for line in [*notes_of(setup), adaptation_step(setup), f"the run is {place}"]:
                say(line)
        run = Run(place, verbose)
        return _watched(run, config.train, listeners, lambda heard: session.start(config, place, heard, options))


def _watched(run: Run, sizes: TrainConfig, listeners: Sequence[Listener], train: Train) -> Run:
    """Train with progress printed where the run is to say what it does."""
    printed = [PrintedProgress(sizes)] if run.verbose else []
    progress, reason = train([*printed, *listeners])
    if run.verbose:
        say(ended_line(progress, reason))
    return run


def _curve_line(result: Mapping[str, Any]) -> str:
    """Return an adaptation curve as one line."""
    points = result["return_by_step"]
    means = ", ".join(f"{point['mean']:.1f}" for point in points)
    steps = ", ".join(str(point["step"]) for point in points)
    shares = ", ".join(f"{point['mean']:.0%}" for point in result.get("success_any_by_step", ()))
    earned = f"mean return {means}{f', success {shares},' if shares else ''} after {steps} adaptation steps"
    return f"{earned} on {len(result['tasks'])} {result['split']} tasks"
