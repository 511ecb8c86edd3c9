"""Hostile input by the hundred thousand: python bench/fuzz.py TARGET --count N --seed S

Mutated valid files and files forged from their structure (tests/fuzz), one process, the same inputs for the same seed.
An input must be read correctly or refused by a named error, within five seconds of processor time and 64 MiB.
`--first K` starts at input K, so that a finding can be seen again: `--first K --count 1`. Results go to
bench/results/fuzz-TARGET.json.
"""

import argparse
import faulthandler
import sys
from pathlib import Path

from record import record

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "fuzz"), str(ROOT / "tests" / "oracles")]


def main() -> None:
    from running import TARGETS, run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop then, at whatever number was reached")
    options = parser.parse_args()
    faulthandler.enable()
    found = run(
        options.target, options.count, options.seed, first=options.first, seconds=60 * options.minutes, say=True
    )
    for finding in found.findings[:20]:
        print(f"--- input {finding.number}\n{finding.what}")
    rate = found.count / found.seconds
    print(f"{found.target}: {found.count:,} inputs, {rate:,.0f}/s, peak {found.peak_bytes >> 20} MiB above baseline")
    for outcome, n in found.outcomes.most_common():
        print(f"  {outcome:<16} {n:>9,}")
    if options.first == 0:
        command = f"bench/fuzz.py {options.target} --count {found.count} --seed {options.seed}"
        record(
            f"fuzz-{options.target}",
            command,
            inputs=found.count,
            findings=len(found.findings),
            outcomes=dict(found.outcomes.most_common()),
            peak_mib_above_baseline=found.peak_bytes >> 20,
        )
    sys.exit(bool(found.findings))


if __name__ == "__main__":
    main()
