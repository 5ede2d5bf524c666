"""Pipelines as files: what is read, what is refused, what the fingerprint names."""

import pytest

from pipelines import fingerprint, from_dict, load, preset_names, to_dict
from pipelines.errors import ParameterError, PipelineFileError
from pipelines.geometric import Rotation, Zoom
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import EXAMPLES


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_transform_comes_back_from_plain_data(name):
    """With its options, equal in value and fingerprint."""
    pipeline = Pipeline(steps=(EXAMPLES[name],), border="constant", fill=(3.0,))
    again = from_dict(to_dict(pipeline))
    assert again == pipeline
    assert fingerprint(again) == fingerprint(pipeline)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_comes_back(name):
    """By its bare name."""
    pipeline = load(name)
    assert pipeline.steps
    assert pipeline.name == name
    assert fingerprint(from_dict(to_dict(pipeline))) == fingerprint(pipeline)


def test_a_file_gives_the_pipeline_its_name(tmp_path):
    """TOML, numbers and lists as people write them."""
    path = tmp_path / "gentle.toml"
    path.write_text('border = "wrap"\n[[step]]\ntransform = "zoom"\nby = [0.9, 1]\n', "utf-8")
    pipeline = load(path)
    assert pipeline == Pipeline(steps=(Zoom(by=(0.9, 1)),), border="wrap", name="gentle")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"bordr": "wrap"}, "did you mean 'border'"),
        ({"border": "mirror"}, "border"),
        ({"border": "reflct"}, "pipeline: border: .*got 'reflct', did you mean 'reflect'"),
        ({"interpolation": "biliner"}, "did you mean 'bilinear'"),
        ({"border": ["wrap"]}, "border: expected one of"),
        ({"step": [{"max_deg": 3}]}, "step 1: expected the key 'transform', got .'max_deg'.; name"),
        ({"step": [{}]}, "expected the key 'transform', got no keys"),
        ({"step": [{"transform": ["zoom"]}]}, "transform: expected one of"),
        ({"interpolation": "cubic"}, "interpolation"),
        ({"step": [{"transform": "rotatoin"}]}, "did you mean 'rotation'"),
        ({"step": [{"transform": "rotation"}]}, "max_deg"),
        ({"step": [{"transform": "rotation", "max_dg": 3}]}, "did you mean 'max_deg'"),
        ({"step": {"transform": "rotation"}}, r"\[\[step\]\]"),
        ({"fill": "white"}, "fill"),
        ({"fill": 300}, "fill"),
    ],
)
def test_what_is_not_a_pipeline_is_refused(data, named):
    """Naming the key and, where one is near, the one that was meant."""
    with pytest.raises(PipelineFileError, match=named):
        from_dict(data)


def test_a_parameter_outside_its_interval_is_refused():
    """Also when it comes from a file."""
    steps = [{"transform": "horizontal_flip"}, {"transform": "rotation", "max_deg": 400}]
    with pytest.raises(ParameterError, match=r"^a\.toml, step 2: rotation\.max_deg") as caught:
        from_dict({"step": steps}, "a.toml")
    assert caught.value.where == "a.toml, step 2"


def test_what_concerns_the_whole_pipeline_names_its_file():
    """Such as a resize in the middle."""
    resize = {"transform": "resize", "height": 9, "width": 9}
    with pytest.raises(PipelineFileError, match=r"^a\.toml: step 2 \(resize\): expected as the"):
        from_dict({"step": [{"transform": "horizontal_flip"}, resize]}, "a.toml")


def test_a_missing_file_names_the_nearest_preset(tmp_path):
    """A slip of the finger is the usual reason."""
    with pytest.raises(PipelineFileError, match="did you mean 'cifar10'"):
        load("cifar-10")
    broken = tmp_path / "broken.toml"
    broken.write_text("border = \n", "utf-8")
    with pytest.raises(PipelineFileError, match=r"broken\.toml"):
        load(broken)


def test_the_fingerprint_names_what_is_done_not_what_it_is_called():
    """The name does not count, any option and the order do."""
    rotation, zoom = Rotation(max_deg=3), Zoom(by=0.1)
    one = fingerprint(Pipeline(steps=(rotation, zoom)))
    assert fingerprint(Pipeline(steps=(rotation, zoom), name="other")) == one
    others = [
        Pipeline(steps=(zoom, rotation)),
        Pipeline(steps=(rotation, zoom), border="wrap"),
        Pipeline(steps=(rotation, zoom), fill=(1.0,)),
        Pipeline(steps=(rotation, zoom), interpolation="nearest"),
        Pipeline(steps=(Rotation(max_deg=4), zoom)),
        Pipeline(steps=(Rotation(max_deg=3, id="r"), zoom)),
    ]
    assert len({one, *map(fingerprint, others)}) == 1 + len(others)
