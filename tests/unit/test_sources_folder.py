"""A folder of images: its layout, labels, splits and groups are read off the paths."""

import os
import pickle

import pytest

from materialize.errors import ConfigError, RecordReadError, SourceError
from materialize.sources import FolderOptions, FolderSource, open_source, source_from_description
from tests.image_files import png_bytes, write_tree

PNG = png_bytes(0)


def opened(tmp_path, *paths, **options):
    return open_source(write_tree(tmp_path, dict.fromkeys(paths, PNG)), **options)


def described(source):
    return [(r.locator, r.split, r.label, r.group) for r in map(source.record, range(len(source)))]


def test_the_first_folder_is_the_class(tmp_path):
    source = opened(tmp_path, "cat/b.png", "cat/a.png", "dog/a.png")
    assert described(source) == [
        ("cat/a.png", "train", "cat", ""),
        ("cat/b.png", "train", "cat", ""),
        ("dog/a.png", "train", "dog", ""),
    ]


def test_deeper_folders_are_groups(tmp_path):
    source = opened(tmp_path, "cat/p1/x/a.png", "dog/b.png")
    assert [row[3] for row in described(source)] == ["cat/p1/x", ""]


def test_class_names_count_like_people(tmp_path):
    source = opened(tmp_path, "10/a.png", "2/a.png", "1/a.png")
    assert source.class_names() == ("1", "2", "10")


@pytest.mark.parametrize("alias", ["val", "valid", "validation", "Validation"])
def test_a_tree_of_splits_is_recognised_under_the_usual_names(tmp_path, alias):
    source = opened(tmp_path, "train/cat/a.png", f"{alias}/cat/b.png", "test/dog/p/c.png")
    assert {row[1:] for row in described(source)} == {
        ("train", "cat", ""),
        ("val", "cat", ""),
        ("test", "dog", "dog/p"),
    }


def test_a_tree_of_splits_may_be_unlabelled_throughout(tmp_path):
    source = opened(tmp_path, "train/a.png", "test/b.png")
    assert source.class_names() == ()
    assert {row[1:3] for row in described(source)} == {("train", None), ("test", None)}


def test_a_tree_labelled_in_part_is_refused(tmp_path):
    with pytest.raises(SourceError, match="in no class folder"):
        opened(tmp_path, "train/cat/a.png", "test/b.png")


def test_train_beside_a_stranger_is_refused_as_a_guess(tmp_path):
    with pytest.raises(SourceError, match="neither all splits nor all classes"):
        opened(tmp_path, "train/cat/a.png", "extra/b.png")


def test_a_guess_can_be_settled_by_naming_the_layout(tmp_path):
    source = opened(tmp_path, "train/a.png", "boat/b.png", layout="classes")
    assert source.class_names() == ("boat", "train")


def test_two_folders_for_one_split_are_refused(tmp_path):
    with pytest.raises(SourceError, match="2 folders that mean val"):
        opened(tmp_path, "val/cat/a.png", "valid/cat/b.png")


def test_a_class_may_be_called_valid_beside_invalid(tmp_path):
    assert opened(tmp_path, "valid/a.png", "invalid/a.png").class_names() == ("invalid", "valid")


def test_a_flat_folder_is_unlabelled(tmp_path):
    source = opened(tmp_path, "b.png", "a.png")
    assert described(source) == [("a.png", "train", None, ""), ("b.png", "train", None, "")]


def test_images_beside_class_folders_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"beside its folders \(loose.png\)"):
        opened(tmp_path, "cat/a.png", "loose.png")


def test_files_without_an_image_suffix_are_counted_not_read(tmp_path):
    source = opened(tmp_path, "cat/a.PNG", "cat/a.json", "LICENSE", "labels.csv", "weights.h5")
    assert len(source) == 1
    assert source.ignored == 4
    assert source.describe()["ignored_files"] == 4


def test_pictures_that_cannot_be_decoded_are_records_all_the_same(tmp_path):
    """Phone photos that are skipped in silence would be the worse surprise."""
    assert len(opened(tmp_path, "cat/a.heic", "cat/b.png")) == 2


def test_hidden_files_and_folders_are_left_alone(tmp_path):
    source = opened(tmp_path, "cat/a.png", "cat/._a.png", ".cache/cat/b.png", ".DS_Store")
    assert [row[0] for row in described(source)] == ["cat/a.png"]
    assert source.ignored == 0


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no image under"):
        opened(tmp_path, "notes.txt")


def test_a_link_inside_the_root_is_followed(tmp_path):
    write_tree(tmp_path, {"cat/a.png": PNG})
    (tmp_path / "cat/b.png").symlink_to("a.png")
    assert len(open_source(tmp_path)) == 2


def test_a_link_out_of_the_root_is_refused_and_named(tmp_path):
    outside = write_tree(tmp_path / "outside", {"secret.png": PNG})
    root = write_tree(tmp_path / "root", {"cat/a.png": PNG})
    (root / "cat/b.png").symlink_to(outside / "secret.png")
    with pytest.raises(SourceError, match=r"cat/b\.png .* outside the source"):
        open_source(root)
    assert len(open_source(root, follow_links=True)) == 2


def test_a_folder_that_contains_itself_by_a_link_is_refused(tmp_path):
    write_tree(tmp_path, {"cat/a.png": PNG})
    (tmp_path / "cat/again").symlink_to(tmp_path)
    with pytest.raises(SourceError, match="a folder that contains it"):
        open_source(tmp_path)


def test_a_pipe_with_an_image_name_is_no_record(tmp_path):
    write_tree(tmp_path, {"cat/a.png": PNG})
    os.mkfifo(tmp_path / "cat/b.png")
    assert len(open_source(tmp_path)) == 1


def test_names_that_are_no_utf8_are_read_back_as_they_were(tmp_path):
    write_tree(tmp_path, {"cat/a.png": PNG})
    (tmp_path / "cat" / os.fsdecode(b"\xff.png")).write_bytes(PNG)
    source = open_source(tmp_path)
    assert source.identity_bytes(1) == PNG


def test_a_file_that_cannot_be_read_is_named_and_not_called_bad(tmp_path):
    source = opened(tmp_path, "cat/a.png")
    (tmp_path / "cat/a.png").unlink()
    with pytest.raises(RecordReadError, match=r"a\.png: No such file") as caught:
        source.identity_bytes(0)
    assert caught.value.locator == "cat/a.png"


def test_an_unknown_layout_is_refused():
    with pytest.raises(ConfigError, match="layout must be one of"):
        FolderOptions(layout="deep")


def test_an_unknown_option_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean layout"):
        opened(tmp_path, "cat/a.png", layuot="flat")


def test_a_source_survives_pickling(tmp_path):
    source = opened(tmp_path, "cat/p/a.png", "dog/b.png")
    assert described(pickle.loads(pickle.dumps(source))) == described(source)


def test_a_description_opens_the_same_folder(tmp_path):
    source = opened(tmp_path, "cat/a.png", "dog/b.png", layout="flat")
    again = source_from_description(source.describe())
    assert isinstance(again, FolderSource)
    assert described(again) == described(source)


def test_flowers_have_five_classes(real_data):
    source = open_source(real_data / "flowers128")
    assert source.class_names() == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert len(source) == 4317


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="nowhere does not exist"):
        open_source(tmp_path / "nowhere")


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    write_tree(tmp_path, {"a.zip": b"PK"})
    with pytest.raises(SourceError, match="expected a folder"):
        open_source(tmp_path / "a.zip")
