"""A trainer that is killed twenty times at random moments, beside one that is left alone."""

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measure import write_record
from tests.training_kills import finish, killed_digest, start

KILLS = 20


def main(_arguments: argparse.Namespace) -> None:
    """Kills, compares the digests of the weights, and writes the record."""
    with tempfile.TemporaryDirectory(prefix="killing-") as work:
        whole = finish(start(Path(work) / "whole"))
        digests, hits = killed_digest(Path(work), kills=KILLS, seed=1)
    equal = sum(digest == whole for digest in digests)
    figures = {
        "kills": hits,
        "trainings_finished": len(digests),
        "ended_with_the_weights_of_the_uninterrupted": equal,
        "weights": whole,
    }
    print(f"\n{hits} kills in {len(digests)} trainings: {equal} ended with weights {whole[:16]}")
    path = write_record("training-kills", figures)
    print(f"written to {path}")
