"""Parts that learners are made of: returns, advantages, losses, baselines, inner loops, optimisers."""
