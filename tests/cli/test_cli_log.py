"""What the library logs reaches people who use the command, on standard error and without decoration."""

from __future__ import annotations

import logging

import pytest

from lmdeploy import cli


def test_what_auto_chose_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("lmdeploy")
    before, level = list(logger.handlers), logger.level
    try:
        cli._show_log()
        cli._show_log()  # a program that calls the command twice does not read everything twice
        logging.getLogger("lmdeploy.backends.choose").info("face68 runs on it: 100 % sure")
        assert capsys.readouterr() == ("", "face68 runs on it: 100 % sure\n")
    finally:
        logger.handlers, logger.level = before, level
        logger.setLevel(level)
