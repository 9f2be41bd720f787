"""`drml check`: tries a family of tasks the way a meta-learner will, and says what would break the learning.

    subject ──plans──▶ child process: recorder ──recordings──▶ watch ──evidence──▶ checks ──findings──▶ table

What is done to the environments is in `plans`, what is concluded from it in the `probe_` files; a check is a function
of what was recorded, so it can be tried on any recording.
"""
