"""However a dataset is made, its bytes are the same, for every transform and every preset.

`test_same_bytes` disturbs one job in every way there is; here all pipelines go through those ways
that reach their pixels: the workers' kind and number, the images that are rendered together, and
the order of the tasks. Other processors are in `test_masked_cpu`.
"""

from dataclasses import replace

import numpy as np
import pytest

from materialize.builder import BuildOptions, build_dataset, plan_tasks, publish_manifest
from materialize.executor import Crew, execute
from materialize.job import Workshop
from materialize.partners import pools_of
from materialize.plans import claim, first_plan
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from tests.jobs import contents, photos
from tests.vocabulary import PIPELINES

RECIPE = Recipe(copies=2, shard_bytes=4096, parameters="full")
"""Two shards of three images for each copy; one for each image where images become large."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Six pictures in two classes."""
    return photos(tmp_path_factory.mktemp("photos"), 6, size=(15, 17))


def built(source, directory, crew, batch_size):
    """The bytes of every pipeline's dataset."""
    options = BuildOptions(crew=crew, batch_size=batch_size)
    return {
        name: (build_dataset(source, directory / name, pipeline, RECIPE, options=options),
               contents(directory / name))[1]
        for name, pipeline in PIPELINES.items()
    }  # fmt: skip


def shuffled(source, directory):
    """The same, made shard by shard in another order by three threads."""
    opened, found = open_source(source), {}
    population = scan(opened)
    for number, (name, pipeline) in enumerate(PIPELINES.items()):
        out = directory / name
        for part in ("shards", "receipts"):
            (out / part).mkdir(parents=True)
        plan = first_plan(pipeline, RECIPE, population)
        whole = plan_tasks(plan, [population])
        single = [replace(task, specs=(spec,)) for task in whole for spec in task.specs]
        order = np.random.default_rng(number).permutation(len(single))
        claim(out, plan)
        workshop = Workshop(out, opened, pipeline, RECIPE.seed)
        pools = pools_of(pipeline, plan.populations, [population])
        done = execute(
            workshop, [single[i] for i in order], lambda _: population, Crew(3, "threading"), pools
        )
        publish_manifest(out, plan, [shard.entry for shard in done])
        found[name] = contents(out)
    return found


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    """By one worker in one go."""
    return built(source, tmp_path_factory.mktemp("one-go"), Crew(1), 64)


@pytest.fixture(scope="module")
def found(source, tmp_path_factory):
    """By processes that render image by image, and by threads in another order."""
    return {
        "processes": built(source, tmp_path_factory.mktemp("processes"), Crew(2, "loky"), 1),
        "disorder": shuffled(source, tmp_path_factory.mktemp("disorder")),
    }


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("way", ["processes", "disorder"])
def test_no_pipeline_shows_how_it_was_run(expected, found, name, way):
    assert sum(file.endswith(".h5") for file in expected[name]) > 1
    assert found[way][name] == expected[name]


def test_pipelines_differ(expected):
    """Or nothing was compared."""
    shards = [tuple(sorted(files)) for files in expected.values()]
    assert len(set(shards)) == len(PIPELINES)
