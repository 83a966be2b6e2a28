"""The ledger after the SDK's calls: it replays, and shows what was done to it."""

import sqlite3

import pytest

from conftest import CHAT_MODEL, MESSAGES
from stack import Ledger

CALLS = 3


@pytest.fixture
def copy(client, provider, ledger, tmp_path) -> Ledger:
    """A copy of the running ledger's database with a few calls in it."""
    for _ in range(CALLS):
        client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)
    ledger.new(CALLS)
    path = tmp_path / "ledger.db"
    source, target = sqlite3.connect(f"file:{ledger.db}?mode=ro", uri=True), sqlite3.connect(path)
    source.backup(target)
    source.close()
    target.close()
    return Ledger(path)


def change(ledger: Ledger, sql: str, *values) -> None:
    """Changes a row as somebody does who can write the file: the triggers are put back, to the letter."""
    with sqlite3.connect(ledger.db) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        assert triggers
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(sql, values).rowcount == 1
        for _, made in triggers:
            db.execute(made)
    db.close()


def test_the_database_itself_refuses_changes(client, provider, ledger):
    client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)
    ledger.new(1)
    db = sqlite3.connect(ledger.db)
    for sql in ("UPDATE credit_ledger SET cost_picopax = cost_picopax + 1", "DELETE FROM credit_ledger"):
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            db.execute(sql)
    db.close()


def test_replay_says_how_many_entries_it_replayed(copy, ledger):
    for each in (copy, ledger):
        done = each.run("replay")
        assert done.returncode == 0, done.stderr
        of_all_kinds = len(each.run("entries").stdout.splitlines())
        assert done.stdout.startswith(f"replayed {of_all_kinds} entries ")


@pytest.mark.parametrize("column", ["tokens_input", "tokens_output", "cost_picopax", "recorded_at"])
def test_one_changed_digit_is_named_by_its_exchange(copy, column):
    exchange = copy.entries()[-2]["exchange_id"]
    # The last digit, one up or one down.
    digit = f"{column} + CASE WHEN {column} % 10 = 9 THEN -1 ELSE 1 END"
    change(copy, f"UPDATE credit_ledger SET {column} = {digit} WHERE exchange_id = ?", exchange)
    done = copy.run("replay")
    assert done.returncode != 0 and exchange in done.stdout + done.stderr, done


def test_one_changed_digit_of_the_canonical_bytes_is_named_by_its_exchange(copy):
    entry = copy.entries()[-2]
    cost = entry["cost_pax"]
    other = cost[:-1] + ("1" if cost[-1] != "1" else "2")
    change(
        copy,
        "UPDATE credit_ledger SET canonical = CAST(replace(CAST(canonical AS TEXT), ?, ?) AS BLOB) WHERE exchange_id = ?",
        cost, other, entry["exchange_id"],
    )
    done = copy.run("replay")
    assert done.returncode != 0 and entry["exchange_id"] in done.stdout + done.stderr, done


def test_a_deleted_last_row_is_named_by_its_account(copy):
    account = copy.entries()[-1]["account"]
    change(copy, "DELETE FROM credit_ledger WHERE rowid = (SELECT max(rowid) FROM credit_ledger)")
    done = copy.run("replay")
    assert done.returncode != 0 and account in done.stdout + done.stderr, done
