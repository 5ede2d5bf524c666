"""Accuracy where several classes count as right: photographs that show more than one thing."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from materialize.contrast.preparations import AcceptedClasses
from materialize.population import Population
from materialize.training.evaluation import Predictions


def extra_scores(
    predictions: Predictions,
    population: Population,
    class_names: Sequence[str],
    accepted: Mapping[str, AcceptedClasses],
) -> dict[str, float]:
    """The part of the images of each score that was given one of its accepted classes.

    Args:
        predictions: on the test part.
        population: where the test part's locators are.
        class_names: of the predictions' classes.
        accepted: by locator; images that are not there count for no score.

    Returns:
        By name of the score, in [0, 1].
    """
    if not accepted:
        return {}
    rows = population.split_rows("test")
    locator_by_id = {population.ids[row].tobytes(): population.locators[row] for row in rows}
    right: dict[str, list[bool]] = defaultdict(list)
    for sample_id, number in zip(predictions.ids, predictions.classes.tolist(), strict=True):
        wanted = accepted.get(locator_by_id[sample_id.tobytes()])
        if wanted is not None:
            right[wanted.score].append(class_names[number] in wanted.classes)
    return {name: sum(hits) / len(hits) for name, hits in sorted(right.items())}


def overall(scores: Mapping[str, float], accepted: Mapping[str, AcceptedClasses]) -> float | None:
    """The scores as one accuracy over all their images; None where there are none.

    Args:
        scores: from `extra_scores`.
        accepted: what they were made from.
    """
    counts = Counter(wanted.score for wanted in accepted.values())
    total = sum(counts[name] for name in scores)
    return sum(scores[name] * counts[name] for name in scores) / total if total else None
