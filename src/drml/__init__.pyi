"""drml: deep reinforcement meta-learning in Python on PyTorch.

    run = drml.train("half-cheetah-dir-promp-v1", "promp")
    run.test()
    run.report()
    agent = run.agent().start()

These are the public names with their types, for editors, type checkers and the reference; `__init__.py` gives each of
them when it is first asked for.
"""

from drml.act.adaptive_agent import AdaptiveAgent as AdaptiveAgent
from drml.act.curve import Curve as Curve
from drml.act.loading import load as load
from drml.act.loading import load_agent as load_agent
from drml.act.meta_agent import MetaAgent as MetaAgent
from drml.algos.evolution.es_maml import ESMAMLConfig as ESMAMLConfig
from drml.algos.gradient.maml import MAMLConfig as MAMLConfig
from drml.algos.gradient.promp import ProMPConfig as ProMPConfig
from drml.algos.gradient.reptile import ReptileConfig as ReptileConfig
from drml.algos.memory.rl2 import RL2Config as RL2Config
from drml.algos.normalised import NormaliseConfig as NormaliseConfig
from drml.core.errors import CheckpointError as CheckpointError
from drml.core.errors import DrmlError as DrmlError
from drml.core.errors import EnvError as EnvError
from drml.core.errors import InputError as InputError
from drml.core.errors import NumericError as NumericError
from drml.core.errors import ResourceError as ResourceError
from drml.envs.api import EnvOptions as EnvOptions
from drml.envs.api import Isolation as Isolation
from drml.envs.api import Suite as Suite
from drml.envs.foreign.family import GymFamily as GymFamily
from drml.envs.foreign.family import task_family as task_family
from drml.learning.adapt import InnerConfig as InnerConfig
from drml.loop.config import TrainConfig as TrainConfig
from drml.policies.encoders.registry import EncoderConfig as EncoderConfig
from drml.policies.made import ModuleConfig as ModuleConfig
from drml.policies.memory.registry import MemoryConfig as MemoryConfig
from drml.policies.mlp import MLPConfig as MLPConfig
from drml.run import session as session
from drml.run.config import RunConfig as RunConfig
from drml.tasks.distribution import TaskDistribution as TaskDistribution
from drml.tasks.parameter import Choice as Choice
from drml.tasks.parameter import Dirichlet as Dirichlet
from drml.tasks.parameter import LogUniform as LogUniform
from drml.tasks.parameter import Normal as Normal
from drml.tasks.parameter import Uniform as Uniform
from drml.tasks.samplers.registry import SamplerConfig as SamplerConfig
from drml.use.run import Run as Run
from drml.use.run import train as train

__version__: str
