"""gtr trains vision-language-model agents with reinforcement learning and guided thought."""

__version__ = "0.1.0"
