"""The tables of a contrast: which figures stand in which column, and what each of them means."""

from collections.abc import Sequence

from materialize.console import size
from materialize.contrast.results import ArmSummary, ContrastResult
from materialize.report import cells
from materialize.report.cells import code, count, decimal, percent, points, words
from materialize.report.columns import Column, Table
from materialize.summary import ByteAccount

_ARM = Column("Arm", is_number=False)
_SEEDS = Column("Seeds", "Trainings of this arm, each from other initial weights and in another "
                "order; equal seeds of two arms form a pair.")  # fmt: skip
_INTERVAL = (
    "Where the mean lies with 95 % confidence, by Student's t over the seeds; cut where it leaves "
    "0 … 100 %."
)


_SOURCE = "the trainings of this contrast, each of them under “Every training”"
_CLOCKS = "clocks of the trainings of this contrast; receipts of the shards, for what was built"
_FILES = "the sizes of the shards, by their manifest"


def accuracy_table(result: ContrastResult) -> Table:
    """Accuracy per arm and the paired difference to on-the-fly."""
    extra = _extra_names(result.arms)
    columns = (
        _ARM,
        _SEEDS,
        Column("Test accuracy, %", "Share of test images whose class was named; mean over seeds, "
               "and where there are folds of their averaged models."),
        Column("95 % interval, %", _INTERVAL),
        Column("Difference, points", "This arm minus on-the-fly, seed by seed, then averaged, in "
               "percentage points."),
        Column("Its 95 % interval", "Of the paired difference. Pairs share what the seed decides, "
               "so this is narrower than the two arms' own intervals suggest."),
        *(Column(f"{name}, %", f"Accuracy on the further test set “{name}”; mean over seeds.")
          for name in extra),
    )  # fmt: skip
    rows = tuple(
        (
            words(arm.name),
            count(arm.num_seeds),
            percent(arm.accuracy),
            cells.percent_interval(arm.accuracy_low, arm.accuracy_high),
            points(arm.difference),
            cells.points_interval(arm.difference_low, arm.difference_high),
            *(percent(arm.extra_scores.get(name)) for name in extra),
        )
        for arm in result.arms
    )
    return Table("Test accuracy by arm", columns, rows, _SOURCE).without_empty_columns()


def verdict_table(result: ContrastResult) -> Table:
    """Whether each K is as good as on-the-fly."""
    columns = (
        Column("K"),
        Column("Verdict", "Equivalent: the interval lies within the margin. Worse: it lies wholly "
               "below it. Inconclusive: these seeds cannot tell.", is_number=False),
        Column("Difference, points", "Offline minus on-the-fly, mean over seeds."),
        Column("90 % interval", "It lies within the margin exactly when two one-sided tests at "
               "5 % both reject a difference beyond it."),
        Column("p", "The larger p-value of the two one-sided tests."),
        Column("Seeds needed", "How many would decide in 80 of 100 contrasts, if difference and "
               "spread stay as they are."),
        Column("Remark", "K is tested from the largest downward, and testing ends at the first "
               "that fails; below it the figures describe and decide nothing.", is_number=False),
    )  # fmt: skip
    rows = tuple(
        (
            count(each.copies),
            words(each.verdict),
            points(each.difference),
            cells.points_interval(each.low, each.high),
            cells.p_cell(each.p_value),
            count(each.needed_seeds),
            words(each.remark or ("" if each.is_tested else "described, not tested")),
        )
        for each in sorted(result.verdicts, key=lambda each: each.copies)
    )
    return Table(
        "Verdict for each number of copies", columns, rows, _SOURCE
    ).without_empty_columns()


def gap_table(result: ContrastResult) -> Table:
    """Training against validation accuracy."""
    columns = (
        _ARM,
        Column("Training, %", "On the training batches of the last epoch as they came: augmented, "
               "and with dropout where the model has it."),
        Column("Validation, %", "On the validation part, never augmented, after the last epoch."),
        Column("Gap, points", "Training minus validation accuracy, or minus test accuracy where it "
               "says so. Augmented images are harder than untouched ones, so an augmenting arm's "
               "gap may be negative."),
        Column("Gap to", is_number=False),
    )  # fmt: skip
    rows = tuple(
        (
            words(arm.name),
            percent(arm.train_accuracy),
            percent(arm.val_accuracy),
            points(arm.gap),
            words(arm.gap_to if arm.gap is not None and arm.gap_to != "validation" else ""),
        )
        for arm in result.arms
    )
    return Table("Accuracy in the last epoch", columns, rows, _SOURCE).without_empty_columns()


def time_table(result: ContrastResult) -> Table:
    """Where the time of a training goes."""
    digits = 1 if any(arm.wall_s >= 10 for arm in result.arms) else 2
    columns = (
        _ARM,
        Column("Wall, s", "Of one training with its validation; mean over runs, as all times "
               "here."),
        Column("Wait, s", "Wall time in which the model waited for its input."),
        Column("Compute, s", "Wall time in which the model computed."),
        Column("Stall, %", "Wait out of wait and compute."),
        Column("CPU, s", "CPU seconds of the whole process on all cores while it trained."),
        Column("Augment, s", "Of these, spent augmenting."),
        Column("Read, s", "Of these, spent reading and gathering."),
        Column("Built once, s", "Spent before training to write what the arm reads; shared by "
               "all its seeds and epochs and not part of CPU."),
        Column("Images/s", "Training images for each second of wait and compute."),
    )  # fmt: skip
    rows = tuple(
        (
            words(arm.name),
            *(decimal(v, digits) for v in (arm.wall_s, arm.wait_s, arm.compute_s)),
            percent(arm.stall_fraction),
            *(decimal(v, digits) for v in (arm.cpu_s, arm.augment_s, arm.read_s)),
            decimal(arm.build_s, digits),
            count(arm.images_per_s),
        )
        for arm in result.arms
    )
    return Table("Time of one training", columns, rows, _CLOCKS)


def storage_table(result: ContrastResult) -> Table:
    """Bytes on disk per arm."""
    columns = (
        _ARM,
        Column("Bytes", "What the arm needs on disk beside the source, for its training images."),
        Column("Size", "The same; 1 MB is a million bytes."),
    )
    rows = tuple(
        (words(arm.name), count(arm.stored_bytes), words(size(arm.stored_bytes)))
        for arm in result.arms
    )
    return Table("Stored bytes by arm", columns, rows, _FILES)


def account_table(account: ByteAccount) -> Table:
    """Every kind of byte of the dataset behind the arms."""
    kinds = (
        ("Source", account.source_bytes, "The accepted images as they lie in the source."),
        ("Copies, decoded", account.logical_copies_bytes, "Pixels of all copies in memory."),
        ("Originals, decoded", account.logical_originals_bytes, "Pixels of the stored originals."),
        ("Stored pixels", account.stored_pixels_bytes, "Pixels as the shards hold them."),
        ("Ids, labels, draws", account.columns_bytes, "What stands beside the pixels."),
        ("Container", account.container_bytes, "HDF5 structure and alignment."),
        ("Metadata", account.metadata_bytes, "Manifests, plans, populations, receipts."),
        ("All files", account.stored_bytes, "The four lines above together."),
        ("Allocated", account.allocated_bytes, "What the file system set aside for them."),
    )
    columns = (Column("Kind", is_number=False), Column("Bytes"), Column("Size"),
               Column("What", is_number=False))  # fmt: skip
    rows = tuple((words(a), count(b), words(size(b)), words(c)) for a, b, c in kinds)
    return Table("The dataset on disk, all copies and splits", columns, rows, _FILES)


def ablation_table(result: ContrastResult) -> Table:
    """What each transform does."""
    columns = (
        Column("Pipeline", is_number=False),
        Column("Compared with", is_number=False),
        Column("Test accuracy, %", "Mean over seeds, augmenting on the fly."),
        Column("95 % interval, %", _INTERVAL),
        Column("Difference, points", "This row minus what it is compared with, seed by seed."),
        Column("Its 95 % interval", "Of the paired difference."),
        Column("The transform", "Helps: leaving it out lowers accuracy, or it alone raises it, by "
               "an interval without zero. Hurts: the reverse.", is_number=False),
    )  # fmt: skip
    rows = tuple(
        (
            words(row.label),
            words(row.reference),
            percent(row.accuracy),
            cells.percent_interval(row.accuracy_low, row.accuracy_high),
            points(row.difference),
            cells.points_interval(row.difference_low, row.difference_high),
            words(row.verdict),
        )
        for row in result.ablation
    )
    return Table(
        "Each transform left out, and alone", columns, rows, _SOURCE
    ).without_empty_columns()


def published_table(result: ContrastResult) -> Table:
    """The tutorial's figures beside ours."""
    columns = (
        Column("Measure", is_number=False),
        Column("The tutorial's setting", is_number=False),
        Column("Published, %"),
        Column("Our arm", is_number=False),
        Column("Ours, %", "Mean over seeds of the arm named beside it."),
    )
    rows = tuple(
        (
            words(each.measure),
            words(each.setting),
            percent(each.value),
            words(each.arm or ""),
            percent(each.ours),
        )
        for each in result.published
    )
    return Table("Published figures beside ours", columns, rows).without_empty_columns()


def runs_table(result: ContrastResult) -> Table:
    """Every training by itself."""
    extra = _extra_names(result.runs)
    columns = (
        _ARM, Column("Seed"), Column("Fold"), Column("Test accuracy, %"), Column("Test loss"),
        Column("Training, %"), Column("Validation, %"), *(Column(f"{n}, %") for n in extra),
        Column("Epochs"), Column("Steps"), Column("Wall, s"), Column("Weights", is_number=False),
    )  # fmt: skip
    rows = tuple(
        (
            words(run.name), count(run.seed), count(run.fold), percent(run.test_accuracy, 2),
            decimal(run.test_loss, 4), percent(run.train_accuracy, 2),
            percent(run.val_accuracy, 2), *(percent(run.extra_scores.get(n), 2) for n in extra),
            words(str(len(run.epochs))), count(run.num_steps), decimal(run.wall_s, 1),
            code(run.weights[:16]),
        )
        for run in result.runs
    )  # fmt: skip
    return Table("Every training", columns, rows).without_empty_columns()


def ensembles_table(result: ContrastResult) -> Table:
    """The folds' models together."""
    columns = (_ARM, Column("Seed"), Column("Models"), Column("Test accuracy, %"),
               Column("Test loss"), Column("Right"), Column("Of"))  # fmt: skip
    rows = tuple(
        (
            words(each.name), count(each.seed), count(each.num_models),
            percent(each.test_accuracy), decimal(each.test_loss, 4), count(each.num_correct),
            count(each.num_images),
        )
        for each in result.ensembles
    )  # fmt: skip
    return Table("The folds' models averaged", columns, rows)


def proof_table(result: ContrastResult) -> Table:
    """The digests that should be equal, in full."""
    columns = (
        Column("Arm", is_number=False),
        Column("Seed"),
        Column("Fold"),
        Column("Its weights", is_number=False),
        Column("Weights of on-the-fly", is_number=False),
        Column("", is_number=False),
    )
    rows = tuple(
        (
            words(pair.name), count(pair.seed), count(pair.fold), code(pair.weights),
            code(pair.on_the_fly),
            words("equal" if pair.weights == pair.on_the_fly else "different"),
        )
        for pair in result.proof.pairs
    )  # fmt: skip
    return Table("Digests of the final weights", columns, rows).without_empty_columns()


def _extra_names(of: Sequence[ArmSummary] | Sequence[object]) -> tuple[str, ...]:
    """Names of the further test sets, in the order in which they first come."""
    names: dict[str, None] = {}
    for each in of:
        names.update(dict.fromkeys(getattr(each, "extra_scores", {})))
    return tuple(names)
