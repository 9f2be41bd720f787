"""What varies from radio to radio: all that drml needs to be told."""

from radio import Radio

from drml import Uniform, task_family


@task_family(station=Uniform(-1.0, 1.0), width=Uniform(0.2, 0.4), horizon=20)
def radios(station: float, width: float) -> Radio:
    """Turn the dial until a hidden station is heard."""
    return Radio(station, width)
