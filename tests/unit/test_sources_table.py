"""Images named by a CSV or TSV table."""

import pytest

from materialize.errors import SourceError
from materialize.sources import open_source, source_from_description
from tests.image_files import png_bytes, write_tree

PNG = png_bytes(0)


def table(tmp_path, text, *images, name="labels.csv"):
    write_tree(tmp_path, dict.fromkeys(images, PNG))
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def records(source):
    return [source.record(index) for index in range(len(source))]


@pytest.mark.parametrize("path_column", ["path", "Filename", "file", "image", "Image Path", "id"])
@pytest.mark.parametrize("label_column", ["label", "Class", "category", "class label"])
def test_columns_are_recognised_by_their_usual_names(tmp_path, path_column, label_column):
    path = table(
        tmp_path, f"{path_column},{label_column}\na.png,cat\nb.png,dog\n", "a.png", "b.png"
    )
    assert [(r.locator, r.label) for r in records(open_source(path))] == [
        ("a.png", "cat"),
        ("b.png", "dog"),
    ]


def test_split_group_and_id_are_taken_where_they_are(tmp_path):
    text = "file,label,split,patient_id,id\na.png,cat,Validation,p7,x1\n"
    (record,) = records(open_source(table(tmp_path, text, "a.png")))
    assert (record.split, record.group, record.explicit_id) == ("val", "p7", "x1")


def test_columns_can_be_named(tmp_path):
    path = table(tmp_path, "where,what\na.png,cat\n", "a.png")
    (record,) = records(open_source(path, path_column="where", label_column="what"))
    assert record.label == "cat"


def test_a_table_without_labels_is_unlabelled_only_by_order(tmp_path):
    path = table(tmp_path, "file,size\na.png,4\n", "a.png")
    with pytest.raises(SourceError, match="no label column"):
        open_source(path)
    assert open_source(path, label_column="").class_names() == ()


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = table(tmp_path, "file,label\na.png,cat\n", "a.png")
    with pytest.raises(SourceError, match="named 'klass' among file, label"):
        open_source(path, label_column="klass")


def test_two_columns_for_one_role_are_a_refusal(tmp_path):
    path = table(tmp_path, "file,label,class\na.png,cat,1\n", "a.png")
    with pytest.raises(SourceError, match="label, class could each hold the label"):
        open_source(path)


def test_a_file_column_wins_over_an_image_column(tmp_path):
    path = table(tmp_path, "image_id,filename,label\n9,a.png,cat\n", "a.png")
    assert records(open_source(path))[0].locator == "a.png"


def test_paths_are_relative_to_the_root(tmp_path):
    path = table(tmp_path, "file,label\na.png,cat\n", "images/a.png")
    with pytest.raises(SourceError, match=r"images/a\.png is: give .*images as the source"):
        open_source(path)
    assert len(open_source(path, root=str(tmp_path / "images"))) == 1


def test_a_folder_with_labels_is_the_table_over_that_folder(tmp_path):
    path = table(tmp_path, "file,label\na.png,cat\n", "images/a.png")
    assert len(open_source(tmp_path / "images", labels=path)) == 1


def test_a_path_out_of_the_root_is_not_found(tmp_path):
    path = table(tmp_path / "in", "file,label\n../b.png,cat\n", "a.png")
    write_tree(tmp_path, {"b.png": PNG})
    with pytest.raises(SourceError, match="is not under"):
        open_source(path)


def test_missing_files_are_named_by_row(tmp_path):
    path = table(tmp_path, "file,label\na.png,cat\nb.png,cat\nc.png,cat\n", "a.png")
    with pytest.raises(SourceError, match=r"row 2: 'b\.png' is not under .*; row 3: 'c\.png'") as e:
        open_source(path)
    assert e.value.rows == [2, 3]


def test_a_file_named_twice_is_refused(tmp_path):
    path = table(tmp_path, "file,label\na.png,cat\n./a.png,dog\n", "a.png")
    with pytest.raises(SourceError, match="one row per image"):
        open_source(path)


def test_a_stem_means_the_one_image_of_that_name(tmp_path):
    path = table(tmp_path, "id,label\nscan_7,cat\n", "scan_7.png", "scan_7.json")
    assert records(open_source(path))[0].locator == "scan_7.png"


def test_a_number_also_means_its_zero_padded_form(tmp_path):
    path = table(tmp_path, "id,label\n7,cat\n12,dog\n", "007.png", "012.png")
    assert [r.locator for r in records(open_source(path))] == ["007.png", "012.png"]


def test_an_exact_stem_wins_over_a_padded_one(tmp_path):
    path = table(tmp_path, "id,label\n7,cat\n007,dog\n", "7.png", "007.png")
    assert [r.locator for r in records(open_source(path))] == ["7.png", "007.png"]


def test_a_stem_of_two_images_is_refused_until_a_suffix_is_given(tmp_path):
    path = table(tmp_path, "id,label\n7,cat\n", "7.png", "7.bmp")
    with pytest.raises(
        SourceError, match=r"could be 7\.bmp, 7\.png: say which with .* path-suffix, such as \.bmp"
    ):
        open_source(path)
    assert records(open_source(path, path_suffix=".png"))[0].locator == "7.png"


def test_links_out_of_the_root_matter_only_where_a_row_means_them(tmp_path):
    write_tree(tmp_path / "elsewhere", {"secret.png": PNG, "more/x.png": PNG})
    root = tmp_path / "in"
    path = table(root, "file,label\na.png,cat\n", "a.png")
    (root / "unrelated").symlink_to(tmp_path / "elsewhere/more")
    (root / "b.png").symlink_to(tmp_path / "elsewhere/secret.png")
    (root / "007.png").symlink_to(tmp_path / "elsewhere/secret.png")
    assert [r.locator for r in records(open_source(path))] == ["a.png"]
    for meant in ("b.png", "./b.png", "b", "7", "unrelated/x.png", "unrelated/x"):
        path.write_text(f"file,label\na.png,cat\n{meant},dog\n")
        with pytest.raises(SourceError, match=r"is a link to .*, outside the source"):
            open_source(path)
        assert len(open_source(path, follow_links=True)) == 2


def test_unknown_splits_are_named(tmp_path):
    path = table(tmp_path, "file,label,split\na.png,cat,holdout\n", "a.png")
    with pytest.raises(SourceError, match="row 1: 'holdout' is no split"):
        open_source(path)


def test_a_blank_label_is_refused(tmp_path):
    path = table(tmp_path, "file,label\na.png, \n", "a.png")
    with pytest.raises(SourceError, match="is no label"):
        open_source(path)


def test_an_id_given_twice_is_refused(tmp_path):
    path = table(tmp_path, "file,label,id\na.png,cat,x\nb.png,cat,x\n", "a.png", "b.png")
    with pytest.raises(SourceError, match="'x' is the id of several rows"):
        open_source(path)


def test_tabs_semicolons_quotes_and_a_byte_order_mark_are_read(tmp_path):
    tsv = table(tmp_path, '\ufefffile\tlabel\na.png\t"big\tcat"\n', "a.png", name="t.tsv")
    csv = table(tmp_path, "file;label\na.png;cat\n", "a.png", name="s.csv")
    assert records(open_source(tsv))[0].label == "big\tcat"
    assert records(open_source(csv))[0].label == "cat"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines"),
        ("file,label\n", "1 lines"),
        ("file,file\na,b\n", "a column twice"),
        ("file,label\na.png\n", "row 1: 1 cells under 2 columns"),
        ('file,label\n"a.png,cat\n', "cells under"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, text, message):
    with pytest.raises(SourceError, match=message):
        open_source(table(tmp_path, text))


def test_a_table_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("file,label\na.png,größe\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        open_source(path)


def test_files_that_the_table_does_not_name_are_counted(tmp_path):
    source = open_source(table(tmp_path, "file,label\na.png,cat\n", "a.png", "b.png"))
    assert source.ignored == 2  # b.png and the table itself


def test_a_description_opens_the_same_table(tmp_path):
    path = table(tmp_path, "id,label,split\n7,cat,test\n", "x/7.png", "x/7.bmp")
    source = open_source(path, root=str(tmp_path / "x"), path_suffix=".bmp")
    assert records(source_from_description(source.describe())) == records(source)


def test_blood_cells_are_found_by_their_numbers(real_data):
    """Numbers without zeros in the table, zero-padded names on disk, each beside a mask."""
    labels = real_data / "wbc_masks" / "Class Labels of Dataset 1.csv"
    source = open_source(real_data / "wbc_masks/dataset1", labels=labels, path_suffix=".bmp")
    counts = [source.table.labels.tolist().count(label) for label in range(5)]
    assert source.class_names() == ("1", "2", "3", "4", "5")
    assert counts == [176, 53, 48, 22, 1]
    assert records(source)[0].locator == "001.bmp"
    with pytest.raises(SourceError, match=r"could be 001\.bmp, 001\.png"):
        open_source(real_data / "wbc_masks/dataset1", labels=labels)
