"""N simulations of one model, their state as live arrays.

`mujoco.batch.Batch` keeps each simulation as one row of numbers; `qpos`, `qvel` and `ctrl` are views of these rows, so
what is written there is the simulation's state at the next step. A derived field (a body's position, say) is copied out
at every step, and only where it is asked for. The results are bit-identical at any number of threads.
"""

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

mj: Any = mujoco  # MuJoCo's compiled part has no stubs
NO_STAGE = 0  # mjtStage.mjSTAGE_NONE: compute nothing, the next step does
STATE = frozenset({"qpos", "qvel", "ctrl"})


@final
class Simulation:
    """N simulations of the robot in an MJCF file, advanced together.

    Args:
        model_path: the MJCF file.
        num_sims: N.
        threads: simulator threads; 0 takes all cores.
        frame_skip: physics steps per control step.
        fields: names of the `MjData` fields that are to be read, besides `qpos`, `qvel` and `ctrl`.
    """

    def __init__(
        self, model_path: Path, num_sims: int, threads: int, frame_skip: int, fields: Collection[str] = ()
    ) -> None:
        self.model = mj.MjModel.from_xml_path(str(model_path))
        self.batch = Batch(self.model, num_sims, threads)
        self.model_path = model_path
        self.num_sims = num_sims
        self.threads = threads
        self.frame_skip = frame_skip
        self.seconds_per_step = frame_skip * float(self.model.opt.timestep)
        """Simulated seconds per control step."""
        self.init_qpos: Floats = self.model.qpos0.copy()
        """`[nq]` the pose that the model file describes."""
        self.qpos: Floats = self.batch.bind("qpos")
        """`[N, nq]` live joint positions."""
        self.qvel: Floats = self.batch.bind("qvel")
        """`[N, nv]` live joint velocities."""
        self.ctrl: Floats = self.batch.bind("ctrl")
        """`[N, nu]` live controls, applied at the next step."""
        self.derived = frozenset(fields) - STATE
        """The fields that follow from the state. MuJoCo gives them as its last evaluation of the dynamics left them:
        before the last physics step has moved the robot, or, with RK4, at that step's last stage."""
        for name in self.derived:
            self.batch.bind(name)  # from the first call on

    def resized(self, num_sims: int) -> "Simulation":
        """Return `num_sims` new simulations of the same robot, all of them as the model file describes it."""
        return Simulation(self.model_path, num_sims, self.threads, self.frame_skip, self.derived)

    def field(self, name: str) -> Floats:
        """Return the live array `[N, M]` of an `MjData` field, all of a simulation's numbers in one row.

        A derived field is to be among the `fields` that the simulation was made with, and is only to be read.
        """
        return self.batch.bind(name).reshape(self.num_sims, -1)

    def vary(self, values: Mapping[str, Floats]) -> None:
        """Give `MjModel` fields a value per simulation, `[N, ...]`, and make the constants that follow from them agree.

        This takes about as long as one step; afterwards a step takes no longer than before.
        """
        for name, value in values.items():
            self.batch.expand(name)[:] = value
        self.batch.set_const()

    def step(self) -> Indices:
        """Advance all simulations by one control step and return the indices of those that broke down in it.

        MuJoCo restarts a simulation whose numbers blow up, and drops a control that is not a number, in silence: state
        and time go on looking sound. Only the simulation's warning counters tell, which `reset` sets back to zero.
        """
        try:
            with _unlogged():
                self.batch.step(nstep=self.frame_skip)
        except SimulationError as error:  # these simulations kept the state from before the step; the others advanced
            return np.union1d(error.ids, self._warned())
        return self._warned()

    def _warned(self) -> Indices:
        if not self.batch.warning.any():  # five times faster than looking simulation by simulation
            return np.empty(0, np.intp)
        return np.flatnonzero(self.batch.warning.any((1, 2)))

    def reset(self, sims: Indices | None, qpos: Floats, qvel: Floats) -> None:
        """Restart simulations (`None`: all of them) at time 0 in the given state, `[n, nq]` and `[n, nv]`."""
        self.batch.reset(sims, stage=NO_STAGE)
        chosen = slice(None) if sims is None else sims
        self.qpos[chosen] = qpos
        self.qvel[chosen] = qvel
        if self.derived:
            self.batch.forward(sims)


@contextmanager
def _unlogged() -> Generator[None]:
    """Keep MuJoCo from writing to standard error, and to a file in the working directory, what `step` returns.

    The setting is the process's, so it is put back: other users of MuJoCo keep theirs.
    """
    before = mj.MjLogConfig.get()
    mj.MjLogConfig().set()  # logs nowhere
    try:
        yield
    finally:
        before.set()
