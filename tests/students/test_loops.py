"""Trainers by name."""

import pytest

from vmaf_train.errors import InputError
from vmaf_train.students.architectures import ARCHITECTURES
from vmaf_train.students.loops import find_loop, plain_loop


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_plain_trainer_fits_every_architecture(arch):
    make_loop = find_loop("plain", ARCHITECTURES[arch])
    assert make_loop("", "") is plain_loop


@pytest.mark.parametrize("arch", ["linear", "teacher_svr"])
def test_lightning_refuses_architectures_that_take_no_steps(arch):
    with pytest.raises(InputError, match=f"{arch} takes none; use trainer=plain"):
        find_loop("lightning", ARCHITECTURES[arch])


def test_an_unknown_trainer_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'fast'; choose one of: plain, lightning"):
        find_loop("fast", ARCHITECTURES["mlp_small"])
