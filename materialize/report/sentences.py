"""The findings of a contrast in sentences: what a reader should know before any figure.

They say no more than the result does: a verdict is the result's own, with its numbers.
"""

from materialize.contrast.results import REFERENCE, ContrastResult, KVerdict, ProofPair
from materialize.report.cells import counted, listed, percent_text, points_text


def summary_line(result: ContrastResult) -> str:
    """What was compared, what came out and whether it is proven, on one line."""
    return " ".join((compared(result), verdict(result), proven(result)))


def compared(result: ContrastResult) -> str:
    """Which arms, on what, how often."""
    training = result.dataset.get("counts", {}).get("train")
    classes = len(result.dataset.get("class_names", ()))
    facts = [
        *([counted(training, "training image")] if training else []),
        *([f"{classes} classes"] if classes else []),
    ]
    of_what = f" ({', '.join(facts)})" if facts else ""
    seeds = max((arm.num_seeds for arm in result.arms), default=0)
    name = result.dataset.get("name", result.title)
    return f"Compared on {name}{of_what}: {_arms(result)}; {counted(seeds, 'seed')} each."


def verdict(result: ContrastResult) -> str:
    """The smallest sufficient K, or why there is none."""
    if not result.verdicts:
        return "Stored copies were not compared with augmenting on the fly."
    margin = f"within {margin_text(result.margin)}"
    if result.smallest_sufficient is not None:
        found = next(v for v in result.verdicts if v.copies == result.smallest_sufficient)
        does = (
            "stored copy of each image does"
            if found.copies == 1
            else ("stored copies of each image do")
        )
        return (
            f"{found.copies} {does} as well as augmenting on the fly {margin}: "
            f"{difference_text(found)}."
        )
    largest = max(result.verdicts, key=lambda each: each.copies)
    if largest.verdict == "worse":
        return (
            f"No K does as well as augmenting on the fly {margin}: even K = {largest.copies} is "
            f"worse, {difference_text(largest)}."
        )
    why = f"K = {largest.copies} is inconclusive, {difference_text(largest)}"
    if largest.needed_seeds:
        why += f"; {largest.needed_seeds} seeds would probably tell"
    return f"No K was shown to do as well as augmenting on the fly {margin}: {why}."


def effect(result: ContrastResult) -> str:
    """What augmenting changes at all; empty without an arm that does not."""
    plain = next((arm for arm in result.arms if arm.arm == "none"), None)
    reference = next((arm for arm in result.arms if arm.arm == REFERENCE), None)
    if plain is None or reference is None or plain.difference is None:
        return ""
    interval = ""
    if plain.difference_low is not None and plain.difference_high is not None:
        low, high = -plain.difference_high, -plain.difference_low
        interval = f" (95 % interval {points_text(low)} … {points_text(high)})"
    return (
        f"Augmenting on the fly changes test accuracy from {percent_text(plain.accuracy)} % to "
        f"{percent_text(reference.accuracy)} %, by {points_text(-plain.difference)} "
        f"points{interval}."
    )


def origin(result: ContrastResult) -> str:
    """Of which experiment and variant this is, in which form and from when."""
    of = f" of experiment {result.experiment}" if result.experiment else ""
    of += f", variant {result.variant}" if result.variant else ""
    date = result.date[:16].replace("T", " ")
    return f"{result.form.capitalize()} form{of}, {date} UTC."


def proven(result: ContrastResult) -> str:
    """The line of the proof, with the beginnings of two digests."""
    said = f"{proof_word(result)} {result.proof.reason.strip()}"
    pair = example_pair(result)
    if pair is None:
        return said
    sign = equality_sign(pair)
    digests = f"{pair.weights[:16]} {sign} {pair.on_the_fly[:16]}"
    return f"{said} {pair_name(pair)}: {digests}."


def proof_word(result: ContrastResult) -> str:
    """What the proof comes to."""
    return {True: "Proven.", False: "Not equal.", None: "Not testable here."}[result.proof.holds]


def example_pair(result: ContrastResult) -> ProofPair | None:
    """The first pair of the proof that differs, or the first of all."""
    pairs = sorted(result.proof.pairs, key=lambda pair: pair.weights == pair.on_the_fly)
    return pairs[0] if pairs else None


def pair_name(pair: ProofPair) -> str:
    """Which trainings it compares."""
    fold = "" if pair.fold is None else f", fold {pair.fold}"
    return f"{pair.name}, seed {pair.seed}{fold}"


def equality_sign(pair: ProofPair) -> str:
    """``=`` or ``≠``."""
    return "=" if pair.weights == pair.on_the_fly else "≠"


def difference_text(found: KVerdict) -> str:
    """A difference to on-the-fly with its interval, and what else there is to say."""
    text = f"{points_text(found.difference)} points"
    if found.low is not None and found.high is not None:
        text += f" (90 % interval {points_text(found.low)} … {points_text(found.high)})"
    return f"{text}; {found.remark}" if found.remark else text


def margin_text(margin: float) -> str:
    """``1 point``, ``0.5 points``."""
    number = f"{100 * margin:g}"
    return f"{number} point{'' if number == '1' else 's'}"


def _arms(result: ContrastResult) -> str:
    kinds = {arm.arm for arm in result.arms}
    stored = [str(arm.copies) for arm in result.arms if arm.arm == "offline"]
    said = [
        *(["no augmentation"] if "none" in kinds else []),
        *([f"stored copies (K = {listed(stored)})"] if stored else []),
        *(["stored originals augmented at reading"] if "prefix" in kinds else []),
        *(["augmenting on the fly"] if "on-the-fly" in kinds else []),
    ]
    return listed(said)
