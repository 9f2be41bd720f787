"""The linear-feature baseline: a finite-horizon value function, solved for all tasks at once.

Source: Duan et al. 2016, "Benchmarking deep reinforcement learning for continuous control", section 5; used by MAML
and ProMP. Fitted anew on each task's own data.

    v(s, t) = w · [s, s², τ, τ², τ³, 1],  τ = t/100,   w = argmin Σ (v(sₜ, t) − Rₜ)² + λ‖w‖²

Where there are fewer steps than features, w = Xᵀ(X Xᵀ + λ)⁻¹R is solved, which equals (XᵀX + λ)⁻¹XᵀR.

The value is that of the rest of a finite episode: it depends on the time and is zero at the horizon, by definition.
So a horizon is not bootstrapped over, while an episode cut short by the end of a rollout is. A task whose environment
truncates its episodes before the horizon has a horizon of its own: the longest episode that was seen of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from drml.core.observation import Parts
from drml.core.types import Rollout
from drml.learning.returns import discounted_sum
from drml.policies.encoders.glance import glance


@dataclass(frozen=True)
class Values:
    """Values of a rollout's observations, and the returns that they were fitted to; `[K, T, B]`, float64."""

    value: Tensor
    """Value of each `obs`."""
    final_value: Tensor
    """Value of each `final_obs`."""
    returns: Tensor
    """Rₜ, discounted sum of the rewards from each step to the end of its episode, or of the rollout."""
    fitted: Tensor
    """True (bool) where the step belongs to a complete, sound episode."""


@dataclass(frozen=True)
class LinearFeatureBaseline:
    """Linear least squares on polynomial features of observation and time."""

    horizon: int
    """Steps per episode; the value is zero there."""
    gamma: float = 0.99
    """Discount per step of the returns that are fitted."""
    ridge: float = 1e-5
    """Regularisation λ (rllab, ProMP: 1e-5)."""
    whole_episodes: bool = False
    """True where rollouts hold one whole episode of each copy, so that their end cuts none."""
    obs_limit: float = 10.0
    """Observations are clipped to ± this in the features (rllab, ProMP: 10)."""
    parts: Parts = ()
    """Parts of the observations, where they are bytes: of pictures s is a glance of few numbers."""

    def fit_values(self, rollout: Rollout) -> Values:
        """Return the values of a rollout `[K, T, B]` under the baseline fitted to that rollout.

        Only steps of complete, sound episodes are fitted; one task's data never touch another's.
        """
        ended = rollout.terminated | rollout.truncated
        continues = (~ended).to(torch.float64)
        cut = rollout.truncated & (rollout.elapsed + 1 < self._horizons(rollout))
        is_cut = discounted_sum(cut.to(torch.float64), continues) > 0  # this step's episode has no complete return
        returns = discounted_sum(rollout.reward.to(torch.float64), self.gamma * continues)
        features = self.features(glance(self.parts, rollout.obs), rollout.elapsed).flatten(1, 2)  # [K, N, F]
        fitted = rollout.valid & ~is_cut
        weights = self._solve(features, returns, fitted)
        value = (features @ weights).view(returns.shape)
        final_value = torch.zeros_like(value)
        if bool(cut.any()):
            after = glance(self.parts, rollout.final.rows[rollout.final.at[cut]])
            final = self.features(after, rollout.elapsed[cut] + 1)  # [E, F]
            final_value[cut] = (final * weights[cut.nonzero()[:, 0], :, 0]).sum(-1)
        return Values(value, final_value, returns, fitted)

    def _horizons(self, rollout: Rollout) -> Tensor:
        """Return the horizon of each task, `[K, 1, 1]`.

        Where a rollout goes on behind a truncation, or ends with its episodes, it was the environment's own. If no
        episode of the task lasted longer, that is its time limit; if one did, the truncated one is cut short.
        """
        length = (rollout.elapsed + 1) * rollout.valid
        stopped = length * rollout.truncated
        if not self.whole_episodes:
            stopped[:, -1] = 0
        longest, limit = length.amax((1, 2), keepdim=True), stopped.amax((1, 2), keepdim=True)
        return torch.where((limit == longest) & (limit > 0), limit, self.horizon)

    def features(self, obs: Tensor, elapsed: Tensor) -> Tensor:
        """Return the features `[..., 2·O + 4]` (float64) of glances `[..., O]` at times `[...]` of their episodes."""
        s = obs.to(torch.float64).clamp(-self.obs_limit, self.obs_limit)
        tau = elapsed.to(torch.float64).unsqueeze(-1) / 100.0
        columns = [s, s.square(), tau, tau.square(), tau.pow(3), torch.ones_like(tau)]
        return torch.cat(columns, -1)

    def _solve(self, features: Tensor, returns: Tensor, fitted: Tensor) -> Tensor:
        """Return the weights `[K, F, 1]`, from the smaller one of the two systems of equations that have them."""
        weighted = features * fitted.flatten(1).unsqueeze(-1)
        target = returns.reshape(len(returns), -1, 1)  # [K, N, 1]
        if weighted.shape[1] < weighted.shape[2]:
            kernel = weighted @ weighted.transpose(1, 2)  # [K, N, N]
            kernel.diagonal(dim1=-2, dim2=-1).add_(self.ridge)
            return weighted.transpose(1, 2) @ torch.linalg.solve(kernel, target)
        gram = weighted.transpose(1, 2) @ features  # [K, F, F]
        gram.diagonal(dim1=-2, dim2=-1).add_(self.ridge)
        return torch.linalg.solve(gram, weighted.transpose(1, 2) @ target)
