"""`python -m tests.benchmarks [NAME] [--peers]`: prints tables, writes outputs/benchmarks."""

import argparse

from tests.benchmarks import (
    augmenting,
    building,
    choosing,
    coding,
    estimating,
    following,
    killing,
    stalling,
    streaming,
)

BENCHMARKS = {"augmenting": augmenting.main, "building": building.main,
              "choosing": choosing.main, "coding": coding.main, "estimating": estimating.main,
              "following": following.main, "streaming": streaming.main, "stalling": stalling.main,
              "killing": killing.main}  # fmt: skip
WITH_PEERS = ("augmenting", "streaming")


def main() -> None:
    """Runs one benchmark, or all that apply."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("which", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--peers", action="store_true", help="measure other libraries beside ours")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default 9)")
    parser.add_argument("--directory", help="where builds are written; the system's by default")
    arguments = parser.parse_args()
    chosen = WITH_PEERS if arguments.peers else tuple(BENCHMARKS)
    for name in chosen if arguments.which == "all" else (arguments.which,):
        BENCHMARKS[name](arguments)


if __name__ == "__main__":
    main()
