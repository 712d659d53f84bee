"""A real RTSP server for tests, GStreamer's, as a process of its own that can be killed and started again.

It needs Debian's packages gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and python3-gi, which belong to the
system's Python: this file is run by that one, and imported by ours.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

FILE = "( filesrc location={} ! qtdemux ! h264parse ! rtph264pay name=pay0 config-interval=-1 )"
LIVE = (
    "( videotestsrc is-live=true ! video/x-raw,format=I420,width={width},height={height},framerate={rate}/1 "
    "! jpegenc ! rtpjpegpay name=pay0 )"
)
WANTED = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def system_python() -> str | None:
    """The Python that has the server's bindings."""
    for name in (shutil.which("python3", path="/usr/bin:/bin"), shutil.which("python3")):
        if name and subprocess.run([name, "-c", WANTED], capture_output=True, check=False).returncode == 0:
            return name
    return None


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """Serves rtsp://127.0.0.1:port/0, /1, ...: one pipeline each, anew for every client."""

    def __init__(self, python: str, *pipelines: str) -> None:
        """Start."""
        self.port = free_port()
        self._words = [python, __file__, str(self.port), *pipelines]
        self.start()

    def url(self, index: int = 0) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{index}"

    def start(self) -> None:
        """Start (again), on the same port."""
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        self._process = subprocess.Popen(
            self._words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready"

    def freeze(self) -> None:
        """Stand still: connections stay open, nothing comes."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As if the camera lost its power."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def serve(port: str, *pipelines: str) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    for index, pipeline in enumerate(pipelines):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(pipeline)
        server.get_mount_points().add_factory(f"/{index}", factory)
    if server.attach(None) == 0:
        sys.exit("the port is taken")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


def live(width: int = 160, height: int = 128, rate: int = 30) -> str:
    """An endless test picture."""
    return LIVE.format(width=width, height=height, rate=rate)


def recorded(path: Path) -> str:
    """An H.264 MP4 at its own pace, once."""
    return FILE.format(path)


if __name__ == "__main__":
    serve(*sys.argv[1:])
