"""What one trained model is good for, beside what a person would use otherwise: a table a verb.

    python bench/tasks.py all --data PATH/TO/MNIST --minutes 15
    python bench/tasks.py complete --data PATH/TO/MNIST --minutes 15
    python bench/tasks.py augment --data PATH/TO/MNIST
    python bench/tasks.py embed --data PATH/TO/MNIST --minutes 15
    python bench/tasks.py detect --data PATH/TO/MNIST --minutes 15
    python bench/tasks.py explore --data PATH/TO/MNIST --minutes 15
    python bench/tasks.py export --data PATH/TO/MNIST --minutes 15

`all` is one after the other, hours of it. The tables of docs/ follow. Models that are there already (`--model`, or
runs/tasks-... of an earlier call) are not trained again.
"""

import sys
from collections.abc import Callable

import tables
import tasks_augment
import tasks_complete
import tasks_detect
import tasks_embed
import tasks_explore
import tasks_export

VERBS: dict[str, Callable[[list[str]], None]] = {
    "complete": tasks_complete.main,
    "augment": tasks_augment.main,
    "detect": tasks_detect.main,
    "embed": tasks_embed.main,
    "explore": tasks_explore.main,
    "export": tasks_export.main,
}


def main() -> None:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in (*VERBS, "all"):
        sys.exit(f"python bench/tasks.py {{all, {', '.join(VERBS)}}} [options]; --help after a verb shows its own")
    for each in VERBS if verb == "all" else [verb]:
        VERBS[each](sys.argv[2:])
    tables.fill()


if __name__ == "__main__":
    main()
