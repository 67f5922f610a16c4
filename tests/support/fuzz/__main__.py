"""Run the fuzzer: `python -m tests.support.fuzz --count 2000 --seed 7`, or `make fuzz ARGS="--count 2000 --seed 7"`.

Ends with status 1 if a case ended badly; `--only KIND:INDEX` with the seed runs one case again and shows all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path


def main() -> int:
    """Run cases and print how they ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many cases")
    parser.add_argument("--seed", default="1", help="any text")
    parser.add_argument("--kinds", default="", help="only these, separated by commas")
    parser.add_argument("--only", help="one case, as KIND:INDEX")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at once")
    parser.add_argument("--log", type=Path, help="append all results to this file, as JSON lines")
    options = parser.parse_args()

    import torch

    from tests.support.fuzz.driver import Job, jobs, make_base, run_all

    torch.set_num_threads(1)
    kinds = options.kinds.split(",") if options.kinds else []
    wanted = jobs(options.count, kinds)
    if options.only:
        kind, _, index = options.only.partition(":")
        wanted = [Job(kind, int(index))]
    ends: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        work = Path(name)
        work.chmod(0o755)
        base = make_base(work / "base")
        for result in run_all(wanted, base, options.seed, work, options.jobs):
            ends[result.end if result.good else "bad"] += 1
            bad += not result.good
            if options.log:
                with options.log.open("a") as log:
                    log.write(json.dumps({"seed": options.seed, **asdict(result)}) + "\n")
            if options.only or not result.good:
                again = f"--seed {options.seed} --only {result.job}"
                print(f"{result.end}: {again}: {result.case.get('note')}", *result.case.get("runs", []), sep="\n  ")
                print(result.errors[-4000 if options.only else -700 :])
            if options.only:
                print(result.output)
    print(", ".join(f"{count} {end}" for end, count in ends.most_common()))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
