"""Notices: warnings for scripts, each of them one line on the command line."""

from __future__ import annotations

import warnings

import pytest

from nestnet import notices
from nestnet.notices import Notice, notice


def test_a_notice_is_a_warning_for_each_text() -> None:
    with pytest.warns(Notice) as said:
        notice("seven", "eleven")
    assert [str(entry.message) for entry in said] == ["seven", "eleven"]
    assert {entry.filename for entry in said} == {__file__}


def test_the_command_line_shows_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where filters change in between, after which Python shows what it has shown."""
    with warnings.catch_warnings():
        notices.print_plainly()
        for _ in range(2):
            warnings.simplefilter("default")
            notice("seven", "eleven")
    shown = capsys.readouterr().err
    assert shown == "note: seven\nnote: eleven\n"
