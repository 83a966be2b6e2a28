"""What the tests start and look at: the stack, the provider behind it, the ledger's command line."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Envoy compiles the module first: seconds on a busy machine.
START_PATIENCE_S = 60
STOP_PATIENCE_S = 20
# A debit is in the ledger a few ticks of 20 ms after its call; so long without another one, there is none.
QUIET_S = 0.25
ENTRY_PATIENCE_S = 10


def binary(name: str, variable: str) -> pathlib.Path:
    path = pathlib.Path(os.environ.get(variable) or ROOT / "dist" / name)
    assert path.is_file(), f"{path} is missing: `make binaries` builds it, or name one with {variable}"
    return path


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        # One that ends meanwhile is none. The parent is the second field after the name, which may have spaces.
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def command_line(pid: int) -> list[str]:
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")


class Program:
    """A program of ours that says when it is ready; its output is kept for a failing test to show."""

    def __init__(self, command: list, ready: str, env: dict | None = None):
        self.output: list[str] = []
        self._found = threading.Event()
        self._ready = re.compile(ready)
        self.match: re.Match | None = None
        self.process = subprocess.Popen(
            command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._found.wait(START_PATIENCE_S)
        if self.match is None:
            self.process.kill()
            raise AssertionError(f"{command[0]} did not get ready:\n{''.join(self.output)}")

    def _read(self):
        for line in self.process.stdout:
            self.output.append(line)
            if match := self._ready.search(line):
                self.match = self.match or match
                self._found.set()
        self._found.set()

    def stop(self, how: signal.Signals) -> int:
        """The exit status after that signal."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(STOP_PATIENCE_S)
        return status


class Stack:
    """`pax-stack up` on a port, with its data in a folder. Stopped as by Ctrl-C."""

    def __init__(self, port: int, data_dir: pathlib.Path, settings: dict | None = None):
        env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        env.pop("UPSTREAM", None)
        env |= {"PAX_ROOT": str(ROOT), "GATEWAY_PORT": str(port), "DATA_DIR": str(data_dir)} | (settings or {})
        up = [binary("pax-stack", "PAX_STACK_BIN"), "up"]
        self.port, self.data_dir = port, data_dir
        self.program = Program(up, r"^ready (http://\S+)", env)
        self.url = self.program.match[1]
        self.ledger = Ledger(data_dir / "ledger.db")

    def stop(self) -> int:
        return self.program.stop(signal.SIGINT)

    @contextlib.contextmanager
    def silent_ledger(self):
        """An outage: the ledger is there and says nothing."""
        [ledger] = [pid for pid in children(self.program.process.pid) if "serve" in command_line(pid)]
        os.kill(ledger, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(ledger, signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        status = self.stop()
        output = "".join(self.program.output)
        assert status == 0 and output.endswith("\nstopped\n"), f"stopped with status {status}:\n{output}"


class Provider:
    """A stand-in provider that can be told what to answer (envoy/standin/README.md)."""

    def __init__(self):
        command = [binary("pax-standin", "PAX_STANDIN_BIN"), "--answers", ROOT / "envoy/standin/answers"]
        self.program = Program(command, r"listening on (\S+:\d+)")
        self.address = self.program.match[1]

    def _control(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}/_standin/{path}", data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")

    def behave(self, **behaviour):
        self._control("PUT", "behaviour", behaviour)

    def requests(self) -> list[dict]:
        return self._control("GET", "requests")

    def reset(self):
        self._control("DELETE", "behaviour")
        self._control("DELETE", "requests")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stop(signal.SIGTERM)


class Ledger:
    """A ledger's database, by way of `pax-ledger`."""

    def __init__(self, db: pathlib.Path, seen: int = 0):
        self.db, self.seen = db, seen

    def from_here(self) -> "Ledger":
        return Ledger(self.db, len(self.entries()))

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [binary("pax-ledger", "PAX_LEDGER_BIN"), "--db", self.db, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def entries(self) -> list[dict]:
        """The entries of calls."""
        done = self.run("entries", "--kind", "debit")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def new(self, count: int) -> list[dict]:
        """The entries since `from_here`: waits until there are `count`, and for more that should not come."""
        deadline = time.monotonic() + ENTRY_PATIENCE_S
        while len(self.entries()) - self.seen < count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(QUIET_S)
        entries = self.entries()[self.seen :]
        assert len(entries) == count, f"{len(entries)} entries instead of {count}: {entries}"
        return entries
