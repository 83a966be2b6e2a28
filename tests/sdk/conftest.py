"""The whole stack, started as a person would, for the stock `openai` package to call.

Binaries are those of dist/; PAX_STACK_BIN, PAX_LEDGER_BIN, PAX_STANDIN_BIN (and pax-stack's own PAX_WASM and
PAX_ENVOY) name others. Nothing is written outside a temporary folder, every port is a free one.
"""

import os
import pathlib
import socket

import openai
import pytest

from stack import Ledger, Provider, Stack

TOKEN = "mtx-demo-free"
CHAT_MODEL = "accounts/fireworks/models/gpt-oss-120b"
EMBEDDING_MODEL = "nomic-ai/nomic-embed-text-v1.5"
MESSAGES = [{"role": "user", "content": "Say hello"}]


def pytest_configure():
    # A proxy or an OpenAI setting of this machine is not part of what is tested.
    for name in list(os.environ):
        if name.startswith("OPENAI_"):
            del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def upstream():
    """A stand-in of our own in place of every provider, so that a test can tell it what to answer."""
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def stack(upstream, tmp_path_factory):
    data_dir: pathlib.Path = tmp_path_factory.mktemp("data")
    with Stack(free_port(), data_dir, {"UPSTREAM": upstream.address, "UPSTREAM_OWN_KEYS": "1"}) as stack:
        yield stack


@pytest.fixture
def provider(upstream):
    """The provider, well-behaved again and with nothing in its memory."""
    upstream.reset()
    return upstream


@pytest.fixture
def ledger(stack) -> Ledger:
    """The ledger: `ledger.new(n)` are the entries since this test began, exactly n."""
    return stack.ledger.from_here()


@pytest.fixture
def client(stack):
    """As stock as it gets: only the base URL and the key are ours."""
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=TOKEN) as client:
        yield client
