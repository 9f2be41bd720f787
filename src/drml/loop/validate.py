"""Validation: the same tasks and noise each time, so that policies are compared and not luck."""

from dataclasses import replace

from drml.loop.evaluate import meta_test
from drml.loop.progress import Progress
from drml.loop.rows import fault_fields
from drml.loop.trainer import Row, Trainer
from drml.tasks.samplers.stratified import StratifiedSampler


def validate(trainer: Trainer, progress: Progress) -> tuple[Progress, Row]:
    """Return the progress with this validation counted, and its numbers to log.

    The tasks and all noise are the same at each validation and for every sampler of training, so that policies are
    compared and not luck. A task that cannot be measured is left out of the mean.
    """
    rng = trainer.rng["validation"]
    learner, distribution, num_tasks = trainer.learner, trainer.distribution, trainer.config.validation_tasks
    tasks = StratifiedSampler().sample({}, distribution, "validation", num_tasks, rng["tasks"])
    tasks = progress.quarantine.admitted(tasks, "validation")
    said = progress.says_success
    tested = meta_test(learner, progress.state.shared, tasks, trainer.collect, rng, learner.adapt_steps, said=said)
    trainer.heed()
    quarantine, incidents = progress.quarantine.strike(tested.faults, tested.lost, "validation")
    progress = replace(progress, quarantine=quarantine)
    curve = tested.curve.mean()
    episodes, env_steps = tested.cost.mean()
    is_best = curve[-1] > progress.best_return
    row = {
        "kind": "validation",
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "return_by_step": curve,
        **(tested.successes.mean() if tested.successes else {}),
        "episodes_by_step": episodes,
        "env_steps_by_step": env_steps,
        "is_best": is_best,
        **fault_fields(progress, incidents),
    }
    if not is_best:
        return replace(progress, validations_since_best=progress.validations_since_best + 1), row
    best = replace(progress, best_shared=progress.state.shared, best_return=curve[-1], validations_since_best=0)
    return replace(best, best_meta_iter=progress.meta_iter), row
