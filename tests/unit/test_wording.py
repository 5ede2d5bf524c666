"""Sentences on the command line: nothing said twice, nothing that the reader cannot type."""

from dataclasses import replace

import pytest

from materialize.commands.contrasting import print_contrast
from materialize.errors import SourceError
from materialize.sources import open_source
from pipelines.errors import ParameterError
from pipelines.standardization import standardization_from_text
from tests import report_cases


def test_a_standardization_is_named_once():
    """By its name, and not by it again."""
    with pytest.raises(ParameterError) as refused:
        standardization_from_text("unity")
    assert str(refused.value).startswith("standardization: expected one of")


def test_a_column_is_named_by_an_option_that_can_be_typed(tmp_path):
    """With its dashes."""
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"name it with --\w+-column"):
        open_source(table).class_names()


def test_only_experiments_have_forms(capsys):
    """A job of one's own has one form."""
    result = report_cases.full_result(2)
    print_contrast(result)
    assert "(quick form)" in capsys.readouterr().out
    print_contrast(replace(result, experiment=None))
    assert "form)" not in capsys.readouterr().out
