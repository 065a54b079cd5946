"""The interval of a figure, as contracts hold it."""

from vmaf_train.contracts import Contract


class Interval(Contract):
    """A percentile interval by bootstrap."""

    low: float
    high: float
