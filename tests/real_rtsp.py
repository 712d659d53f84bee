"""The mark of tests that need a real RTSP server, and the Python that runs it."""

from __future__ import annotations

import pytest

from tests.rtsp_server import system_python

PYTHON = system_python()
needs_server = pytest.mark.skipif(
    PYTHON is None, reason="no RTSP server: apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good"
)
