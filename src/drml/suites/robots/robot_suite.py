"""A robot's variant as a suite, which can be listed where MuJoCo is absent."""

from drml.core.errors import InputError
from drml.envs.api import BatchEnv, EnvOptions, Suite
from drml.envs.mujoco.robot import Variant


def robot_suite(name: str, summary: str, source: str, variant: Variant) -> Suite:
    """Return the suite of a variant."""

    def make(options: EnvOptions) -> BatchEnv:
        try:
            from drml.envs.mujoco.robot_env import RobotEnv
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "mujoco":
                raise
            raise InputError(f"the suite needs MuJoCo{_missing(error.name)}") from error
        except OSError as error:
            raise InputError(f"MuJoCo cannot be loaded ({error}): two versions of it were mixed. {ANEW}") from error
        return RobotEnv(variant, options)

    return Suite(name, summary, source, variant.tasks, variant.spec, make, variant.describe())


ANEW = (
    "Install drml[mujoco] into a new environment; what needs an older MuJoCo goes into one of its own, as it cannot be "
    "exchanged in place"
)


def _missing(module: str) -> str:
    """Return what is missing of MuJoCo: all of it, or what came with 3.17."""
    if module == "mujoco":
        return ': pip install "drml[mujoco]"'
    return f" 3.17 or newer, as {module} is not there. {ANEW}"
