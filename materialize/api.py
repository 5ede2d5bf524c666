"""The friendly functions behind ``import materialize``: keywords in, reports out."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from materialize.builder import as_source, build_dataset
from materialize.executor import Crew
from materialize.pictures.gallery import GalleryOptions, draw_gallery
from materialize.population import Balance, Division, Population, scan
from materialize.population.likeness import is_quickly_searched
from materialize.population.likeness import near_duplicates as find_near_duplicates
from materialize.population.target_counts import count_targets
from materialize.production import BuildOptions, BuildReport
from materialize.progress import Progress, stage
from materialize.recipe import Recipe, whole_number
from materialize.sources import Source
from materialize.suitability import CheckReport, Intention, check_suitability
from pipelines import Pipeline, load

_MOST_AT_ONCE = 2**20
"""More images per call, or workers, is a slip of the finger."""


def build(  # noqa: PLR0913  # one keyword for each option that people use
    source: object,
    output: str | Path,
    *,
    pipeline: Pipeline | str | Path,
    copies: int,
    seed: int = 0,
    codec: str = "raw",
    storage: str = "pixels",
    originals: bool = False,
    parameters: str = "draws",
    value_range: tuple[float, float] | None = None,
    balance: Balance | None = None,
    balance_cap: int | None = None,
    folds: int | None = None,
    fold_seed: int = 0,
    split: str | None = None,
    workers: int = 1,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Writes a dataset of augmented copies; called again after a kill, it goes on.

    Args:
        source: a folder, a .csv, .tsv, .npz or .npy file, ``keras:NAME``, ``digits``, arrays, or a
            `Source`; see `materialize.sources.open_source`.
        output: the dataset's directory; created if absent.
        pipeline: a pipeline, a preset's name or a TOML file.
        copies: augmented copies of each training image, at least 1.
        seed: in [0, 2**64).
        codec: ``raw``, ``bitshuffle-zstd``, ``zstd``, ``gzip``, ``lz4``, ``blosc2``, ``png``,
            ``webp``, or with a loss ``jpeg-1`` to ``jpeg-100``.
        storage: ``pixels`` stores the copies; ``prefix`` the untouched images of every split,
            decoded and resized, for copies made at reading (`PrefixLoader`); ``recipe`` no image,
            for copies made from the source (`AugmentingLoader`).
        originals: also store the untouched images, of every split, beside the copies.
        parameters: what stands beside each copy: ``none``, ``draws`` or ``full``.
        value_range: for float32 images, the values that mean black and white.
        balance: how many training images of each class an epoch shows: ``max`` (as many as there
            are of the largest), a number, or a number for each class by name.
        balance_cap: most draws of an image in an epoch, on average over its class.
        folds: how many folds will be trained on: a step that mixes images then takes partners from
            an image's own fold, so that none that is held out is mixed into another. Without such a
            step they change nothing, and the report warns of it.
        fold_seed: which folds of that number.
        split: cut a source without splits of its own, such as ``0.8/0.1/0.1``; for another cut of
            that kind, ``ScanOptions(division=…)`` in ``options``, which is taken instead.
        workers: processes that write shards at once; never changes a byte.
        options: everything else that decides time and not bytes; its crew, if it names one, is
            taken instead of ``workers``.
        progress: called with the stage, the images done and their total.

    Returns:
        What was found and done; ``report.manifest.digest()`` pins the dataset.

    Raises:
        BuildIncompleteError: time ran out; the same call goes on.
        MaterializeError: whatever else prevents the dataset; nothing half-written stays.
    """
    recipe = Recipe(
        copies=copies, seed=seed, codec=codec, storage=storage, originals=originals,
        parameters=parameters, value_range=value_range, balance=balance, balance_cap=balance_cap,
        folds=None if folds is None else (folds, fold_seed),
    )  # fmt: skip
    options = _counted(_divided(options or BuildOptions(), split))
    workers = whole_number("workers", workers, 1, _MOST_AT_ONCE)
    if options.crew == Crew():
        options = replace(options, crew=Crew(workers))
    return build_dataset(source, output, pipeline, recipe, options=options, progress=progress)


def check(  # noqa: PLR0913  # one keyword for each thing to look at
    source: object,
    pipeline: Pipeline | str | Path | None = None,
    *,
    recipe: Recipe | None = None,
    split: str | None = None,
    folds: int | None = None,
    near_duplicates: bool | None = None,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Says what is wrong with a pipeline for some images before anything is written.

    Args:
        source: as `build` takes it.
        pipeline: as `build` takes it; None looks at the images alone.
        recipe: what would be built, to say how large it would be.
        split: as `build` takes it.
        folds: into how many folds the training images would be dealt.
        near_duplicates: look for them, or not; None looks where it takes seconds.
        options: how the images are scanned, and how many may be bad.
        progress: called as images are scanned.
    """
    options = _counted(_divided(options or BuildOptions(), split))
    opened = as_source(source)
    population = _scanned(opened, options, progress)
    intention = Intention(pipeline=_loaded(pipeline), recipe=recipe, folds=folds)
    crew = options.crew
    searched = is_quickly_searched(population) if near_duplicates is None else near_duplicates
    alike = (
        find_near_duplicates(opened, population, workers=crew.workers, backend=crew.backend)
        if searched
        else None
    )
    targets = count_targets(opened, population)
    return check_suitability(
        population, intention, options, likenesses=alike, targets=targets, source=opened
    )


def preview(
    source: object,
    pipeline: Pipeline | str | Path | None = None,
    *,
    options: GalleryOptions | None = None,
    progress: Progress | None = None,
) -> Image.Image:
    """Draws originals beside their copies, each step alone, or a labelled grid of originals.

    Args:
        source: as `build` takes it.
        pipeline: as `build` takes it; only the kind ``grid`` does without.
        options: what kind, and how much of what; with the seed of a build, the copies are its very
            pixels.
        progress: called as images are scanned.

    Returns:
        An RGB picture; ``.save("preview.png")`` keeps it.
    """
    opened = as_source(source)
    population = _scanned(opened, BuildOptions(), progress)
    return draw_gallery(opened, population, _loaded(pipeline), options or GalleryOptions())


def _counted(options: BuildOptions) -> BuildOptions:
    """The options, if those that count are at least 1."""
    crew = options.crew
    workers = whole_number("workers", crew.workers, 1, _MOST_AT_ONCE)
    batch = options.batch_size
    if batch is not None:
        batch = whole_number("batch_size", batch, 1, _MOST_AT_ONCE)
    return replace(options, crew=replace(crew, workers=workers), batch_size=batch)


def _divided(options: BuildOptions, split: str | None) -> BuildOptions:
    """The options with this division, unless they name one."""
    if split is None or options.scan.division is not None:
        return options
    return replace(options, scan=replace(options.scan, division=Division.parse(split)))


def _loaded(pipeline: Pipeline | str | Path | None) -> Pipeline | None:
    return load(pipeline) if isinstance(pipeline, str | Path) else pipeline


def _scanned(source: Source, options: BuildOptions, progress: Progress | None) -> Population:
    """What a scan finds, with leaks between splits to be seen and not raised."""
    told = replace(options.scan, allow_split_leaks=True)
    crew = options.crew
    return scan(
        source, told, n_jobs=crew.workers, backend=crew.backend, progress=stage(progress, "scan")
    )
