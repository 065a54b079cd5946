"""The reporter that shows nothing, which every other one is based on."""

from vmaf_train.reporting import Epoch, Reporter


def test_the_base_reporter_takes_all_progress_and_prints_nothing(capsys):
    reporter = Reporter()
    reporter.say("line")
    reporter.epoch(Epoch(1, 0.1, 0.2), of=1)
    with reporter.extraction(1, 6) as advance, reporter.making("clips", 1) as made:
        advance(6)
        made("clip")
    with reporter.scoring(1) as scored:
        scored("dis")
    assert capsys.readouterr() == ("", "")
