"""The page on bridges: its advantages are those of the learner."""

import re
from pathlib import Path

import numpy as np
import torch

from drml.learning.advantages import estimate_advantages

from .models import learned_of
from .test_adapting import HORIZON, in_a_row, rollout_of

PAGE = Path(__file__).parents[2] / "docs/bridges.md"


def test_the_advantages_of_the_page_are_the_learner_s():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [code] = [block for block in blocks if block.startswith("def advantages")]
    names: dict = {"np": np}
    exec(code, names)
    learned = learned_of("maml")
    with torch.no_grad():
        rollout = rollout_of(learned, learned.shared, 5, HORIZON)
    inner = learned.learner.inner  # type: ignore[attr-defined]
    expected = estimate_advantages(rollout, inner.baseline, inner.adaptation.config.gae_lambda)
    data = (in_a_row(x) for x in (rollout.obs, rollout.reward, rollout.elapsed))
    found = names["advantages"](*data, inner.adaptation.config.gamma, inner.adaptation.config.gae_lambda)
    np.testing.assert_allclose(found, in_a_row(expected.advantage), rtol=0.0, atol=1e-5)
