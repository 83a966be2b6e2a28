"""Debian's Prometheus, scraping a stack."""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

from conftest import free_port
from stack import ROOT

ALERTS = ROOT / "envoy/alerts.yaml"
READY_S = 60


def binary(name: str) -> str | None:
    """The program, if it is installed: `envoy/tools.sh prometheus` does."""
    return shutil.which(name)


def documented() -> dict[str, tuple[str, list[str]]]:
    """The table of docs/metrics.md: each metric's kind and labels."""
    rows = re.findall(r"^\| `((?:pax|gen_ai)_\w+)` \| (\w+) \|([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    return {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}


class Prometheus:
    """One with its data in a folder, that scrapes Envoy's admin interface once a second, and whatever `jobs` say."""

    def __init__(self, folder: pathlib.Path, admin_port: int, *jobs: dict):
        self.port = free_port()
        envoy = {
            "job_name": "gateway",
            "metrics_path": "/stats/prometheus",
            "params": {"filter": ["wasmcustom"]},
            "static_configs": [{"targets": [f"127.0.0.1:{admin_port}"]}],
        }
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ALERTS)],
            "scrape_configs": [envoy, *jobs],
        }
        file = folder / "prometheus.yml"
        # JSON is YAML.
        file.write_text(json.dumps(config))
        # Debian's has a console of its own in /usr; nothing of the system is read or written.
        command = [binary("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", f"--web.console.templates={folder}"]
        self.log = open(folder / "prometheus.log", "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def ask(self, path: str, **parameters) -> list | dict:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            said = json.loads(answer.read())
        assert said["status"] == "success", said
        return said["data"]

    def query(self, query: str) -> list[tuple[dict, str]]:
        """An instant query: each series' labels, and its value as it was scraped."""
        return [(it["metric"], it["value"][1]) for it in self.ask("query", query=query)["result"]]

    def number(self, query: str) -> int:
        """The one value of a query, which must be a whole number that a float holds exactly."""
        found = self.query(query)
        value = float(found[0][1]) if found else 0.0
        assert value.is_integer() and value < 2**53, value
        return int(value)

    def by(self, query: str, *labels: str) -> dict[tuple[str, ...], int]:
        """The values of a query that are not zero, by these labels."""
        found = {tuple(metric.get(label, "") for label in labels): int(float(value)) for metric, value in self.query(query)}
        return {labels: value for labels, value in found.items() if value}

    def series(self) -> list[dict]:
        """Every series that it ever saw of the gateway."""
        return self.ask("series", **{"match[]": '{job="gateway",__name__=~"pax_.*|gen_ai_.*"}'})

    def scraped_again(self):
        """Waits until what has happened until now is scraped: histograms come to a scrape after Envoy's flush, in 5 s."""
        time.sleep(7)
        [(_, up)] = self.query('up{job="gateway"}')
        assert up == "1"

    def __enter__(self):
        deadline = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(OSError):
                if self.query('up{job="gateway"}'):
                    return self
            assert self.process.poll() is None and time.monotonic() < deadline, pathlib.Path(self.log.name).read_text()
            time.sleep(0.2)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
