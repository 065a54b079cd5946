"""JSON contracts: unknown keys, missing values and NaN are refused."""

import pytest
from pydantic import ValidationError

from vmaf_train.contracts import Contract


class Score(Contract):
    clip: str
    value: float


def test_a_contract_is_read_from_json_and_written_back():
    text = '{"clip":"a","value":1.5}'
    assert Score.model_validate_json(text).model_dump_json() == text


@pytest.mark.parametrize(
    "text",
    [
        '{"clip":"a","value":NaN}',
        '{"clip":"a","value":Infinity}',
        '{"clip":"a","value":1.5,"extra":0}',
        '{"clip":"a"}',
        '{"clip":"a","value":null}',
    ],
    ids=["nan", "infinity", "an unknown key", "a missing key", "null"],
)
def test_unknown_keys_missing_values_and_nan_are_refused(text):
    with pytest.raises(ValidationError):
        Score.model_validate_json(text)


def test_a_contract_cannot_be_changed_once_read():
    score = Score(clip="a", value=1.5)
    with pytest.raises(ValidationError, match="frozen"):
        score.value = 2.0
