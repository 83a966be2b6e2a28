//! What the ledger promises of rate cards: learned once, for ever, and before an entry can be proved.

use crate::common;

use common::debits::reported;
use common::{Folder, SECRET, Service, bytes, http, record, replayed, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::{CARDS_PATH, CardsReply, CardsRequest, DebitOutcome};
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateCard;
use pax_ledger::cards::learn;

/// The newest card that is built in under the next version.
fn next() -> String {
    let bundle = Bundle::embedded().unwrap();
    let (card, text) = bundle.files().last().unwrap();
    let version = |v: u32| format!("\"rate_table_v\": {v}");
    let next = text.replace(&version(card.version.0), &version(card.version.0 + 1));
    assert_ne!(next, **text);
    next
}

/// A card that says something else.
fn other(text: &str) -> String {
    text.replace("\"reason\": \"", "\"reason\": \"Not ")
}

/// A debit under that card, whose prices are those of the newest that is built in.
fn under(card: &str, n: u64) -> Debit {
    let card = RateCard::parse(card).unwrap();
    let mut debit = reported(n, "free", Tier::Free);
    debit.rate_table_v = card.version;
    debit.card_sha256 = card.sha256;
    let began = debit.occurred_at.max(card.effective_from);
    (debit.occurred_at, debit.settled_at, debit.utc_day) = (began, began, began.day());
    debit
}

fn post(service: &Service, cards: &[&str]) -> (u16, String) {
    let cards = cards.iter().map(|text| (*text).into()).collect();
    let body = serde_json::to_vec(&CardsRequest { cards }).unwrap();
    http(service.internal, "POST", CARDS_PATH, Some(SECRET), &body)
}

#[test]
fn a_filter_makes_cards_known_once_and_another_of_the_same_version_is_a_conflict() {
    let folder = Folder::new();
    let service = Service::start(&folder.database());
    let built_in = Bundle::embedded().unwrap();
    let listed = || stdout(&run(&folder.database(), &["cards", "list"])).lines().count() - 1;
    assert_eq!(listed(), built_in.cards().len(), "what is built in is known from the start");

    let (card, also) = (next(), built_in.files().next().unwrap().1.to_string());
    let sha256 = RateCard::parse(&card).unwrap().sha256;
    for _ in 0..2 {
        let (status, body) = post(&service, &[&also, &card]);
        let reply: CardsReply = serde_json::from_str(&body).unwrap();
        assert_eq!((status, reply.known[1], reply.known.len()), (200, sha256, 2));
        assert_eq!(listed(), built_in.cards().len() + 1);
    }
    let (status, body) = post(&service, &[&other(&card)]);
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("\"code\":\"conflict\"") && body.contains(&sha256.to_string()), "{body}");
    let (status, _) = post(&service, &[&other(&also)]);
    assert_eq!(status, 409, "also of one that is built in");
    assert_eq!(listed(), built_in.cards().len() + 1);
    assert_eq!(http(service.public, "POST", CARDS_PATH, Some(SECRET), b"{}").0, 404);
    assert_eq!(http(service.internal, "POST", CARDS_PATH, None, b"{}").0, 401);
}

#[test]
fn of_cards_that_come_together_all_are_learned_or_none_and_every_mistake_is_named() {
    let folder = Folder::new();
    let service = Service::start(&folder.database());
    let good = next();
    let bad = good.replace("\"pax_usd\": \"", "\"pax_usd\": \"-").replace("\"reason\"", "\"raisin\"");
    let (status, body) = post(&service, &[&good, &bad]);
    assert_eq!(status, 400);
    for mistake in ["card 2: pax_usd: must", "card 2: reason: is missing", "card 2: raisin: is unknown"] {
        assert!(body.contains(mistake), "{mistake:?} is not in {body}");
    }
    let first = Bundle::embedded().unwrap().files().next().unwrap().1.to_string();
    assert_eq!(post(&service, &[&good, &other(&first)]).0, 409);
    let output = run(&folder.database(), &["cards", "list"]);
    assert_eq!(stdout(&output).lines().count(), Bundle::embedded().unwrap().cards().len() + 1);
}

#[tokio::test]
async fn an_entry_under_an_unknown_card_is_kept_and_named_until_the_card_is_learned() {
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    let card = next();
    let replies = record(&store, &[bytes(&reported(1, "free", Tier::Free)), bytes(&under(&card, 2))]).await;
    assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded), "{replies:?}");
    let (report, found) = replayed(&store).await;
    assert_eq!((report.entries, found.len()), (2, 1), "{found:?}");
    let sha256 = RateCard::parse(&card).unwrap().sha256;
    let told = found[0].to_string();
    assert!(told.contains("number 2") && told.contains(&sha256.to_string()), "{told}");

    // By hand, as an operator would.
    let file = folder.0.join("card.json");
    std::fs::write(&file, &card).unwrap();
    let add = run(&folder.database(), &["cards", "add", file.to_str().unwrap()]);
    assert_eq!(stdout(&add), "learned 1 rate cards; 0 of these were known\n", "{}", stderr(&add));
    let (report, found) = replayed(&store).await;
    assert!(found.is_empty(), "{found:?}");
    assert!(report.cards.keys().any(|(_, hash)| *hash == sha256));
    store.close().await;
}

#[tokio::test]
async fn known_cards_never_change_and_a_replay_names_one_that_did() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let store = folder.store_with_accounts().await;
    learn(&store, &[&next()]).await.unwrap();
    let mut shell = folder.shell().await;
    for sql in [
        "UPDATE rate_cards SET text = 'x'",
        "DELETE FROM rate_cards",
        "INSERT OR REPLACE INTO rate_cards SELECT 'x', version, text, learned_at FROM rate_cards",
    ] {
        let error = sqlx::query(sql).execute(&mut shell).await.unwrap_err().to_string();
        assert!(error.contains("rate_cards is append-only"), "{sql}: {error}");
    }
    assert!(replayed(&store).await.1.is_empty());
    let trigger = "SELECT sql FROM sqlite_master WHERE name = 'rate_cards_no_update'";
    let trigger: String = sqlx::query_scalar(trigger).fetch_one(&mut shell).await.unwrap();
    for (change, told) in [
        ("text = replace(text, '\"reason\": \"', '\"reason\": \"x')", "its text is that of version"),
        ("version = version + 1", "its text is that of version"),
        ("text = '{}'", "cannot be read by this program"),
    ] {
        let sql = format!("UPDATE rate_cards SET {change}");
        for sql in ["DROP TRIGGER rate_cards_no_update", &sql, &trigger] {
            sqlx::query(sql).execute(&mut shell).await.unwrap();
        }
        let (_, found) = replayed(&store).await;
        assert!(found.len() == 1 && found[0].to_string().contains(told), "{sql}: {found:?}");
    }
    store.close().await;
}
