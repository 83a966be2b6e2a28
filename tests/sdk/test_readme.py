"""The pages are true: their code is taken from them and run, with nothing but the port changed, and what they name is there."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from conftest import free_port
from stack import ROOT, Stack, binary

# Every page of the project, by its path.
ROOMS = ["docs", "envoy", "ledger", "ratecards", "src", "tests"]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in [*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))]
}
README = PAGES["README.md"]
RUNNING = PAGES["docs/running.md"]
PORT = "127.0.0.1:10000"


def block(language: str, having: str, page: str = README) -> str:
    """The one code block of that language that has these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    [found] = [text for text in blocks if having in text]
    return found


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """`make up` as a new user has it, stand-in included, and a folder that looks like the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "dist").mkdir()
    (folder / "dist/pax-ledger").symlink_to(binary("pax-ledger", "PAX_LEDGER_BIN").absolute())
    with Stack(free_port(), folder / "data") as stack:
        yield stack, folder


def run(fresh, *command: str) -> str:
    """What the command prints, without an error."""
    env = {name: value for name, value in os.environ.items() if name != "PAX_LEDGER_DB"}
    done = subprocess.run(command, cwd=fresh[1], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    return done.stdout


def here(fresh, text: str) -> str:
    assert PORT in text
    return text.replace(PORT, f"127.0.0.1:{fresh[0].port}")


def test_the_curl_line_gets_an_answer_and_makes_an_entry(fresh):
    before = fresh[0].ledger.from_here()
    assert "Hello from the stand-in" in run(fresh, "sh", "-ec", here(fresh, block("sh", "curl")))
    [entry] = before.new(1)
    assert entry["account"] == "demo-free"


def test_the_lines_of_python_print_two_answers_and_the_cost(fresh):
    code = block("python", "OpenAI(")
    assert len([line for line in code.splitlines() if line]) <= 10
    before = fresh[0].ledger.from_here()
    printed = run(fresh, sys.executable, "-c", here(fresh, code))
    assert printed.count("Hello from the stand-in") == 2
    whole, streamed = before.new(2)
    assert (whole["stream"], streamed["stream"]) == (False, True)
    assert f"cost: {whole['cost_pax']} PAX" in printed


def test_the_ledgers_commands_work_while_the_gateway_runs(fresh):
    printed = run(fresh, "sh", "-ec", block("sh", "pax-ledger", RUNNING))
    assert re.search(r"^replayed \d+ entries", printed, re.MULTILINE) and "alice" in printed


def test_every_line_of_yaml_is_in_the_configuration_that_runs():
    for having, file in [
        ("EDIT", "envoy/minimal.yaml"),
        ("config_discovery", "envoy/envoy.yaml"),
        ("health_checks", "envoy/envoy.yaml"),
        ("retry_policy", "envoy/envoy.yaml"),
    ]:
        template = {line.strip().removeprefix("- ") for line in (ROOT / file).read_text().splitlines()}
        lines = [line.strip().removeprefix("- ") for line in block("yaml", having, PAGES["envoy/README.md"]).splitlines()]
        assert lines and [line for line in lines if line not in template] == []


def test_minimal_yaml_passes_the_check_once_its_module_is_named(tmp_path):
    text = (ROOT / "envoy/minimal.yaml").read_text()
    file = tmp_path / "minimal.yaml"
    file.write_text(text)
    check = [binary("pax-stack", "PAX_STACK_BIN"), "check", "--envoy"]
    before = subprocess.run([*check, file], capture_output=True, text=True)
    assert (before.returncode, before.stdout.count("error:")) == (1, 1) and "pax_gateway.wasm cannot be read" in before.stdout
    file.write_text(text.replace("/etc/pax/pax_gateway.wasm", str(ROOT / "dist/pax_gateway.wasm")))
    assert subprocess.run([*check, file]).returncode == 0
    assert subprocess.run([*check, tmp_path / "none"]).returncode == 2


def test_every_make_target_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page, target)
        for page, text in PAGES.items()
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)
    }
    assert len(named) > 20 and {(page, target) for page, target in named if target not in targets} == set()


def anchors(text: str) -> set[str]:
    """What a link can name within a page: its headings, as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_and_a_heading():
    broken, count = [], 0
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if link.startswith("https://"):
                continue
            count += 1
            path, _, anchor = link.partition("#")
            target = pathlib.Path(os.path.normpath(pathlib.Path(page).parent / path)) if path else pathlib.Path(page)
            there = (ROOT / target).exists()
            if not there or anchor and anchor not in anchors(PAGES[str(target)]):
                broken.append(f"{page}: {link}")
    assert count > 60 and broken == []


def test_every_file_that_the_map_names_is_there():
    named = {
        (page, path)
        for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"]
        for path in re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./-]+)`", PAGES[page])
    }
    assert len(named) > 80 and sorted(one for one in named if not (ROOT / one[1]).exists()) == []
    rooms = re.findall(r"^\| `(src/\w+/)` \| (.*)$", PAGES["ARCHITECTURE.md"], re.MULTILINE)
    modules = [(room, name) for room, about in rooms for name in re.findall(r"`(\w+)`", about)]
    there = lambda room, name: any(path.suffix in ("", ".rs") for path in (ROOT / room).rglob(f"{name}*") if path.stem == name)
    assert len(modules) > 70 and [one for one in modules if not there(*one)] == []


def test_what_the_demo_prints_is_shown_as_it_is():
    """The demo itself counts what it does; here the steps' titles and the last line."""
    demo = (ROOT / "envoy/demo.sh").read_text()
    lines = block("text", "2. A chat call").splitlines()
    titles = [line for line in lines if re.match(r"\d+\. ", line)]
    assert len(titles) > 3 and [title for title in titles if title not in demo] == []
    requests, refused, entries = re.fullmatch(
        r"Done: (\d+) requests, of which (\d+) were refused and (\d+) became entries\.", lines[-1]
    ).groups()
    assert f"'{requests} {refused}' ]" in demo and f"$count -eq {entries} ]" in demo


def test_the_table_of_the_plugins_configuration_has_the_defaults_and_limits_of_the_code():
    page = PAGES["docs/configuration.md"]
    files = [file for file in (ROOT / "src").rglob("config*.rs") if not file.stem.endswith("_test")]
    config = "".join(file.read_text() for file in files)
    # Whole numbers, products and quotients: what Python reads as Rust does.
    constants = {"MIB": 1024 * 1024}
    number = lambda text: eval(text.replace("/", "//"), constants)
    for name, text in re.findall(r"^const (\w+): u64 = ([^;]+);", config, re.MULTILINE):
        constants[name] = number(text)
    ranges = dict(re.findall(r"^ *const (\w+): [\w:]*RangeInclusive<u64> = ([^;]+);", config, re.MULTILINE))
    found = re.findall(r'whole_or\(\s*"(\w+)",\s*([^,]+),\s*([^,]+),', config)
    assert len(found) >= 9
    for key, default, between in found:
        least, most = map(number, ranges.get(between, between).split("..="))
        row = rf"^\| `(?:[a-z]+\.)?{key}` \| {number(default)} \| {least} to {most} \| "
        assert re.search(row, page, re.MULTILINE), f"docs/configuration.md has other numbers for {key}"
