"""The commands: parse, call one public function, print. No logic lives here, and `zpinch --help` loads no PyTorch.

Results go to stdout, progress and messages to stderr. Exit codes are those of errors.py.
"""

from zpinch.cli import archives, augment, data, features, inside, models
from zpinch.cli.program import app, main

__all__ = [
    "app",
    "archives",
    "augment",
    "data",
    "features",
    "inside",
    "main",
    "models",
]  # the modules add their verbs to the app
