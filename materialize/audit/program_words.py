"""A lowered program in plain words: what is done to the pixels, in the order it happens."""

import numpy as np

from pipelines import Pipeline
from pipelines.program import Programs
from pipelines.stages import Applied, Fused, Mixed, Stage

_ONE = 2.0**32
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def program_words(pipeline: Pipeline, stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """What is done to one image, one line for each thing.

    Args:
        pipeline: what the stages were lowered from.
        stages: of that image.
    """
    lines = []
    if pipeline.resize:
        resize = pipeline.resize
        lines.append(
            f"resize: to {resize.height}×{resize.width} ({resize.fit}), antialiased, the same for "
            "every copy"
        )
    for stage in stages:
        if stage.rows is not None and not len(stage.rows):
            continue
        if not isinstance(stage, Fused):
            lines.append(f"{stage.step.name}: {_values(stage)}, on the finished image")
        else:
            lines += _fused(pipeline, stage.programs)
    return tuple(lines) or ("nothing: every pixel stays as it is",)


def _values(stage: Applied | Mixed) -> str:
    """The drawn parameters of a step that stands alone."""
    given = (f"{name} {values[0]:.6g}" for name, values in stage.parameters.items())
    return ", ".join(given) or "nothing drawn"


def _fused(pipeline: Pipeline, programs: Programs) -> list[str]:
    """The first of some programs."""
    lines = []
    across, down = programs.halvings[0].tolist()
    if across or down:
        lines.append(
            f"prefilter: halved {across} times across and {down} times down, because sampling "
            "alone would alias"
        )
    lines.append(f"one resampling: {_resampling(pipeline, programs)}")
    lines.append(f"tone: {_tone(programs)}")
    if programs.table.shape[1]:
        table = programs.table[0, 0]
        samples = ", ".join(f"{level} → {table[level]}" for level in (0, 64, 128, 192, 255))
        lines.append(f"table of 256 levels: {samples}")
    return lines


def _resampling(pipeline: Pipeline, programs: Programs) -> str:
    matrix = tuple((programs.matrix[0] / _ONE).tolist())
    if matrix == _IDENTITY:
        return "none needed, every pixel stays in its place"
    xx, xy, xt, yx, yy, yt = matrix
    border = pipeline.border
    if border == "constant":
        border += f" ({', '.join(f'{level:g}' for level in np.round(programs.fill[0], 2))})"
    return (
        f"output pixel (x, y) is read at ({_sum(xx, xy, xt)}, {_sum(yx, yy, yt)}) of the source; "
        f"{pipeline.interpolation}, outside: {border}"
    )


def _sum(x: float, y: float, offset: float) -> str:
    """``0.9981·x − 0.0611·y + 1.2044``."""
    text = f"{x:.4f}·x {y:+.4f}·y {offset:+.4f}"
    return text.replace(" +", " + ").replace(" -", " − ").replace("-", "−")


def _tone(programs: Programs) -> str:
    gain, bias = float(programs.gain[0]), float(programs.bias[0])
    if (gain, bias) == (1.0, 0.0):
        return "unchanged"
    low, high = float(programs.low[0]), float(programs.high[0])
    clip = "the image's own range" if programs.clips else f"[{low:.4g}, {high:.4g}]"
    fractions = "fractions dropped" if programs.truncates else "rounded once"
    return f"gain {gain:.4f}, bias {bias:+.2f} levels, clipped to {clip}, {fractions}"
