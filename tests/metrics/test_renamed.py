"""Old names of metrics lead to rows of today."""

from gtr.metrics.renamed import RENAMED, current_name
from gtr.metrics.table import METRICS, describe


def test_every_old_name_has_a_row_of_today() -> None:
    names = {metric.name for metric in METRICS}
    assert set(RENAMED.values()) <= names
    assert not set(RENAMED) & names
    for old, new in RENAMED.items():
        assert current_name(old) == current_name(new) == new
        assert describe(old) == describe(new)


def test_other_names_stay() -> None:
    assert current_name("thought/right") == "thought/right"
