"""Throwaway servers, with Waypool in front of them if wanted."""

import json
import subprocess
import sys
import time
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "target"
CONFIGURATION = """\
port = {port}
listen_addresses = ["127.0.0.1"]
unix_socket_directories = []
hba = ["host all all all trust", "host replication all all trust"]
sr_check_user = "postgres"
"""


class Servers:
    """A cluster, and a proxy if there is configuration for one; `with` ends them."""

    def __init__(self, settings: list[str], configuration: str | None = None, standbys: int = 0):
        words = [TARGET / "release/waypool-sandbox", "--standbys", str(standbys)]
        words += [word for setting in settings for word in ("--setting", setting)]
        self.sandbox = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.about = json.loads(self.sandbox.stdout.readline())
        self.port = self.about["servers"][0]["port"]
        self.proxy = None if configuration is None else self.start_proxy(configuration)

    def start_proxy(self, configuration: str) -> subprocess.Popen:
        self.port = self.about["servers"][-1]["port"] + 1
        text = CONFIGURATION.format(port=self.port) + configuration + "\n"
        for server in self.about["servers"]:
            weight = 0 if server["id"] == 0 and len(self.about["servers"]) > 1 else 1
            text += f"[[backend]]\nhostname = \"127.0.0.1\"\nport = {server['port']}\nweight = {weight}\n"
        folder = Path(self.about["folder"])
        (folder / "waypool.toml").write_text(text)
        words = [TARGET / "release/waypool", "run", "-c", folder / "waypool.toml"]
        log = folder / "waypool.log"
        proxy = subprocess.Popen(words, stdout=open(log, "wb"), stderr=subprocess.STDOUT)
        while "ready to accept connections" not in log.read_text():
            if proxy.poll() is not None:
                sys.exit("waypool did not start: " + log.read_text())
            time.sleep(0.05)
        return proxy

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
        self.sandbox.stdin.close()
        self.sandbox.wait()
