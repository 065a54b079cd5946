"""Templates of the package."""

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from vmaf_train.templates import template


def test_a_value_that_is_not_passed_is_an_error():
    page = template("vmaf_train.shipping", "model_card.md.j2")
    with pytest.raises(UndefinedError):
        page.render()


def test_a_template_that_is_not_there_is_an_error():
    with pytest.raises(TemplateNotFound):
        template("vmaf_train.shipping", "none.j2")
