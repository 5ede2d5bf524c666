"""Pascal VOC, COCO and LabelMe: what is read, what is left out, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from materialize.errors import SourceError
from materialize.population import scan
from materialize.sources import open_source, source_from_description
from materialize.sources.coco import mirrored
from materialize.sources.targets import notes_of

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def write_image(path, width=40, height=30, seed=0, **saved):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, **saved)


def voc_xml(*boxes, width=40, height=30, name="cat", extra=""):
    objects = "".join(
        f"<object><name>{name}</name>{extra}{BOX.format(*box)}</object>" for box in boxes
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{size}{objects}</annotation>"


def voc(root, annotations, lists=None):
    for number, (name, text) in enumerate(annotations.items()):
        write_image(root / f"JPEGImages/{name}.png", seed=number)
        (root / "Annotations").mkdir(exist_ok=True)
        if text is not None:
            (root / f"Annotations/{name}.xml").write_text(text)
    for split, names in (lists or {}).items():
        (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(names))
    return root


def coco(root, *, name="instances.json", **changes):
    write_image(root / "a.png", seed=1)
    write_image(root / "b.png", seed=2)
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 2, "file_name": "b.png", "width": 40, "height": 30},
        ],
        "categories": [
            {"id": 7, "name": "person", "keypoints": ["left_eye", "nose", "right_eye"]},
            {"id": 3, "name": "ball"},
        ],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 7, "bbox": [2, 3, 10, 20], "iscrowd": 0,
                "segmentation": [[2, 3, 12, 3, 12, 23]], "keypoints": [4, 5, 2, 0, 0, 0, 9, 5, 1],
            },
            {
                "id": 2, "image_id": 1, "category_id": 3, "bbox": [30, 20, 20, 5], "iscrowd": 1,
                "segmentation": {"counts": "52203", "size": [30, 40]},
            },
        ],
    }  # fmt: skip
    file = root / name
    file.write_text(json.dumps(content | changes))
    return file


def only_object(source):
    assert source.objects(0).num_objects == 1
    return source.objects(0)


def test_voc_boxes_flags_and_splits_are_read(tmp_path):
    extra = "<difficult>1</difficult><truncated>1</truncated>"
    root = voc(
        tmp_path,
        {"a": voc_xml((3, 4, 20, 25), extra=extra), "b": None, "c": voc_xml((1, 1, 5, 5))},
        {"train": ["a"], "val": ["b"], "test": ["c"], "trainval": ["a", "b"]},
    )
    source = open_source(root)
    assert [source.record(i).split for i in range(3)] == ["train", "val", "test"]
    objects = only_object(source)
    assert objects.boxes.tolist() == [[3, 4, 20, 25]]
    assert objects.flags.tolist() == [2 | 4]
    assert source.objects(1).num_objects == 0


def test_boxes_without_an_area_are_left_out_and_named(tmp_path):
    root = voc(tmp_path, {"a": voc_xml((3, 4, 3, 25), (5, 5, 9, 9)), "b": voc_xml((8, 8, 4, 9))})
    source = open_source(f"voc:{root}")
    assert source.objects(0).numbers.tolist() == [0]
    (note,) = notes_of(source)
    assert str(note) == (
        "2 boxes without an area, left out: JPEGImages/a.png (cat), JPEGImages/b.png (cat)"
    )


def test_boxes_beyond_their_image_are_clipped_and_counted(tmp_path):
    source = open_source(voc(tmp_path, {"a": voc_xml((-3, 4, 20, 99))}))
    assert only_object(source).boxes.tolist() == [[0, 4, 20, 30]]
    assert "1 boxes beyond their image, clipped" in str(notes_of(source)[0])


def test_an_annotation_of_another_size_is_set_aside_with_both_sizes(tmp_path):
    source = open_source(voc(tmp_path, {"a": voc_xml((1, 1, 5, 5), width=80), "b": voc_xml()}))
    (bad,) = scan(source).quarantined
    assert bad.reason == "annotation-size"
    assert "80 x 30" in bad.detail
    assert "40 x 30" in bad.detail


@pytest.mark.parametrize("header_only", [False, True])
@pytest.mark.parametrize(
    ("orientation", "size", "reason"),
    [(6, (30, 40), None), (6, (40, 30), "annotation-size"), (3, (40, 30), "orientation-unclear")],
)
def test_turned_images_are_used_only_where_the_frame_is_certain(
    tmp_path, orientation, size, reason, header_only
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    root = voc(tmp_path, {"a": voc_xml((1, 1, 5, 5), width=size[0], height=size[1])})
    write_image(root / "JPEGImages/a.png", exif=exif)
    source = open_source(root)
    content = source.identity_bytes(0)
    if reason is None:
        assert source.decode(content, 0).pixels.shape[:2] == (40, 30)
    else:
        read = source.measure if header_only else source.decode
        with pytest.raises(Exception, match=reason):
            read(content, 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "a document type"),
        ("<annotation>" + "<a>" * 40 + "</a>" * 40 + "</annotation>", "nested more than"),
        ("<annotation>", "cannot be parsed"),
        (voc_xml(("x", 1, 5, 5)), "xmin of 'x'"),
        (voc_xml(("nan", 1, 5, 5)), "within 1e"),
        (voc_xml((1, 1, "1e300", 5)), "within 1e"),
        ("<annotation><object><name>cat</name></object></annotation>", "without a name or a bndb"),
    ],
)
def test_voc_files_that_are_hostile_or_malformed_are_named(tmp_path, text, named):
    with pytest.raises(SourceError, match=named) as error:
        open_source(voc(tmp_path, {"a": text}))
    assert "a.xml" in str(error.value)


@pytest.mark.parametrize(
    ("lists", "named"),
    [({"train": ["a", "z"]}, "z"), ({"train": ["a"], "val": ["a"]}, "another split")],
)
def test_voc_lists_that_contradict_the_images_are_refused(tmp_path, lists, named):
    with pytest.raises(SourceError, match=named):
        open_source(voc(tmp_path, {"a": voc_xml()}, lists))


def test_a_voc_file_without_an_image_is_refused(tmp_path):
    root = voc(tmp_path, {"a": voc_xml()})
    (root / "Annotations/b.xml").write_text(voc_xml())
    with pytest.raises(SourceError, match=r"1 files in .* have no image in JPEGImages: b"):
        open_source(root)


def test_coco_objects_are_read_in_the_order_of_the_file(tmp_path):
    source = open_source(coco(tmp_path))
    kinds, objects = source.schema().objects, source.objects(0)
    assert kinds.names == ("person", "ball")
    assert kinds.keypoint_swaps == (2, 1, 0)
    assert objects.labels.tolist() == [0, 1]
    assert objects.boxes.tolist() == [[2, 3, 12, 23], [30, 20, 40, 25]]
    assert objects.flags.tolist() == [0, 1]
    assert objects.points.tolist() == [[2, 3], [12, 3], [12, 23]]
    assert np.diff(objects.ring_offsets).tolist() == [1, 0]
    assert source.objects(1).num_objects == 0


def test_coco_keypoints_lie_in_the_middle_of_their_pixels(tmp_path):
    objects = open_source(coco(tmp_path)).objects(0)
    assert objects.keypoints[0].tolist() == [[4.5, 5.5, 2], [0, 0, 0], [9.5, 5.5, 1]]
    assert not objects.keypoints[1].any()


def test_segmentations_by_run_lengths_are_kept_as_boxes_and_counted(tmp_path):
    assert any(
        "1 segmentations that are masks" in str(n) for n in notes_of(open_source(coco(tmp_path)))
    )


def test_several_coco_files_are_splits_by_their_names(tmp_path):
    first = coco(tmp_path, name="instances_train.json", images=[{"id": 1, "file_name": "a.png"}])
    second = coco(
        tmp_path,
        name="instances_val.json",
        images=[{"id": 2, "file_name": "b.png"}],
        annotations=[],
    )
    source = open_source(tmp_path, annotations=(str(first), str(second)))
    assert [source.record(i).split for i in range(2)] == ["train", "val"]
    assert len(source_from_description(source.describe())) == 2


ANNOTATION = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"annotations": [ANNOTATION | {"category_id": 99}]}, "category 99, known are 7, 3"),
        ({"annotations": [ANNOTATION | {"image_id": 99}]}, "image 99, which is not listed"),
        ({"annotations": [ANNOTATION, ANNOTATION]}, "annotation 1 twice"),
        ({"annotations": [ANNOTATION | {"bbox": [1, 1, 5]}]}, "a bbox of 3 numbers"),
        ({"annotations": [ANNOTATION | {"bbox": [1, 1, 1e300, 5]}]}, "within 1e"),
        ({"annotations": [ANNOTATION | {"bbox": [1, 1, float("nan"), 5]}]}, "expected annotations"),
        ({"annotations": [ANNOTATION | {"bbox": None}]}, "neither a bbox nor a polygon"),
        ({"annotations": [ANNOTATION | {"keypoints": [1, 2]}]}, "2 keypoint numbers, expected 3"),
        ({"annotations": [ANNOTATION | {"keypoints": [1, 2, 9] * 3}]}, "visibility of 9"),
        ({"annotations": [ANNOTATION | {"segmentation": [[1, 2, 3]]}]}, "odd number"),
        ({"images": [{"id": 1, "file_name": "../a.png"}]}, "leaves the folder"),
        ({"images": [{"id": 1, "file_name": "z.png"}], "annotations": []}, "z.png"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2}, "two images with the id 1"),
        ({"images": 5}, "images"),
    ],
)
def test_coco_files_that_contradict_themselves_are_named(tmp_path, changes, named):
    with pytest.raises(SourceError, match=named) as error:
        open_source(coco(tmp_path, **changes))
    assert "instances.json" in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": [', "\xff"])
def test_json_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text, "latin-1")
    with pytest.raises(SourceError, match=r"x\.json"):
        open_source(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("names", "swaps"),
    [
        (("nose", "left_eye", "right_eye"), (0, 2, 1)),
        (("eyeLeft", "eyeRight"), (1, 0)),
        (("l_knee", "tail", "r_knee"), (2, 1, 0)),
        (("LEFT", "RIGHT"), (1, 0)),
        (("tail", "left_fin"), ()),
        (("collar", "roof"), ()),
    ],
)
def test_names_tell_which_keypoints_a_mirror_exchanges(names, swaps):
    assert mirrored(names) == swaps


def test_labelme_shapes_are_objects_or_counted(tmp_path):
    write_image(tmp_path / "a.png")
    shapes = [
        {"label": "fig", "points": [[1, 2], [9, 2], [9, 8]], "shape_type": "polygon"},
        {"label": "nut", "points": [[5, 6], [2, 3]], "shape_type": "rectangle"},
        {"label": "nut", "points": [[10, 10], [13, 14]], "shape_type": "circle"},
        {"label": "tip", "points": [[3, 3]], "shape_type": "point"},
    ]
    content = {"shapes": shapes, "imageHeight": 30, "imageWidth": 40, "imageData": None}
    (tmp_path / "a.json").write_text(json.dumps(content))
    source = open_source(f"labelme:{tmp_path}")
    objects = source.objects(0)
    assert objects.boxes.tolist() == [[1, 2, 9, 8], [2, 3, 5, 6], [5, 5, 15, 15]]
    assert objects.points.tolist() == [[1, 2], [9, 2], [9, 8]]
    assert "1 shapes that are neither" in str(notes_of(source)[0])


def test_blood_cells_have_4886_boxes_with_an_area(real_data):
    source = open_source(real_data / "bccd_boxes/BCCD")
    assert source.schema().objects.names == ("Platelets", "RBC", "WBC")
    assert source.targets.objects.num_objects == 4886
    assert [len(note.where) for note in notes_of(source)] == [2]
    splits = [source.record(index).split for index in range(len(source))]
    assert [splits.count(split) for split in ("train", "val", "test")] == [205, 87, 72]


def test_both_forms_of_the_fruit_polygons_agree(real_data):
    root = real_data / "labelme_polygons"
    ours, derived = open_source(f"labelme:{root}/images"), open_source(root / "coco_derived.json")
    assert ours.targets.objects.num_objects == derived.targets.objects.num_objects == 165
    assert [r.locator for r in map(ours.record, range(18))] == [
        r.locator for r in map(derived.record, range(18))
    ]
    difference = np.abs(ours.targets.objects.points - derived.targets.objects.points)
    assert difference.max() <= 0.005 + 1e-4


def test_people_have_keypoints(real_data):
    source = open_source(f"coco:{real_data}/mmpose_keypoints/coco/test_coco.json")
    assert source.targets.objects.keypoints.shape == (14, 17, 3)
    assert source.schema().objects.keypoint_swaps[:3] == (0, 2, 1)
