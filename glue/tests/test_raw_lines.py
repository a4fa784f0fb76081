"""The metrics sink is tested with the same lines as the jobs."""

import raw_lines


def test_the_file_that_tests_in_rust_read_has_the_lines_of_these_tests():
    assert raw_lines.FILE.read_text(encoding="utf-8") == raw_lines.text(), f"run {raw_lines.__file__} --write"


def test_there_are_lines_of_every_fate_but_those_that_rest_on_others():
    fates = {line["fate"].split(" ")[0] for line in raw_lines.lines()}
    assert fates == {"kept", "repeats", "late", "early", "blank", "malformed", "missing", "invalid"}
