//! The README's story: new, import three prices, check, diff, publish, check; and what that would have earned. What was
//! recorded before replays unchanged.

mod common;

use std::fs;
use std::path::Path;

use common::{Temp, golden, published, tests};
use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::{Pax, Tokens};
use pax_gateway::debit::frozen::{Debit, Ending, EntryKind, Provenance};
use pax_gateway::dialect::usage::{Mode, Rules};
use pax_gateway::price::bundle::Bundle;
use pax_ledger::book::Act;
use pax_ledger::store::{Location, Open, Store};

/// 2026-11-23T12:00:00Z
const NOON: u64 = 1_795_392_000_000 + 43_200_000;
const OSS: &str = "accounts/fireworks/models/gpt-oss-120b";

/// A debit that proves itself under the cards of the first release.
fn debit(n: u8, account: &str, model: &str, counts: (u64, u64, u64)) -> Debit {
    let bundle = bundle_of(&published(), 2);
    let occurred_at = Moment::from_ms(NOON + u64::from(n) * 86_400_000);
    let card = bundle.in_force(occurred_at).unwrap();
    let (input, cached, output) = counts;
    let raw = format!(
        "{{\"prompt_tokens\": {input}, \"completion_tokens\": {output}, \
         \"prompt_tokens_details\": {{\"cached_tokens\": {cached}}}}}"
    );
    let usage = Rules::OpenAi1.read(raw.as_bytes(), Mode::Chat).unwrap().usage;
    let mut debit = Debit {
        canon_v: 1,
        kind: EntryKind::Debit,
        exchange_id: ExchangeId::new(occurred_at, [0, 0, 0, 0, 0, 0, 0, 0, 0, n]),
        account: account.to_owned(),
        tier: Tier::Free,
        token_id: "tok_0123456789abcdef".to_owned(),
        funding: Funding::Platform,
        slot: "default".to_owned(),
        intent_id: None,
        goal_id: None,
        mode: Mode::Chat,
        asked_model: None,
        model: model.to_owned(),
        provider: card.models[model].provider.clone(),
        stream: false,
        upstream_status: Some(200),
        provider_request_id: None,
        response_id: None,
        hold_id: None,
        service_tier: None,
        ending: Ending::Complete,
        flags: Vec::new(),
        provenance: Provenance::Reported,
        usage_rules: Some(Rules::OpenAi1.name().to_owned()),
        usage: Some(raw),
        n: None,
        stated_maximum: None,
        input_limit: None,
        output_limit: None,
        unseen_ms: None,
        estimator: None,
        estimated_from: None,
        tokens_input: usage.input,
        tokens_cached_input: usage.cached_input,
        tokens_cache_write_input: usage.cache_write_input,
        tokens_cache_write_1h_input: Tokens::ZERO,
        tokens_audio_input: usage.audio_input,
        tokens_image_input: Tokens::ZERO,
        tokens_output: usage.output,
        tokens_audio_output: usage.audio_output,
        tokens_image_output: Tokens::ZERO,
        tokens_reasoning_output: usage.reasoning_output,
        cost_pax: card.models[model].price(&usage, None).unwrap(),
        rate_table_v: card.version,
        card_sha256: card.sha256,
        occurred_at,
        settled_at: occurred_at,
        first_byte_ms: None,
        duration_ms: None,
        utc_day: occurred_at.day(),
    };
    debit.set_usage(&usage);
    debit.prove(&bundle).unwrap();
    debit
}

/// A ledger with five calls of two accounts; one on the caller's own key.
fn ledger(folder: &Temp) -> String {
    let path = folder.0.join("ledger.db");
    let mut own = debit(4, "beta", "gpt-4o", (500, 0, 500));
    (own.funding, own.cost_pax) = (Funding::Byo, Pax::ZERO);
    let debits = [
        debit(0, "alpha", OSS, (1_000_000, 0, 500_000)),
        debit(1, "alpha", OSS, (2_000_000, 1_000_000, 10)),
        debit(2, "beta", "gpt-4o", (300_000, 100_000, 20_000)),
        debit(3, "beta", "o3", (1_000, 0, 1_000)),
        own,
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Location::Sqlite(path.clone()), Open::Create).await.unwrap();
        for account in ["alpha", "beta"] {
            let act = Act::new(account.to_owned(), "ops".to_owned(), None, Moment::from_ms(NOON)).unwrap();
            assert!(store.create_account(&act, account, Tier::Free, None).await.unwrap().is_some());
        }
        let lines: Vec<_> =
            debits.iter().map(|debit| pax_ledger::book::Line::read(&debit.to_canonical())).collect();
        let mut writer = store.writer();
        writer.record(&lines.into(), Moment::from_ms(NOON)).await.unwrap();
        writer.close().await;
        store.close().await;
    });
    path.to_str().unwrap().to_owned()
}

/// The first cards of a folder, as a gateway would have them.
fn bundle_of(folder: &Path, last: u32) -> Bundle {
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let texts: Vec<(String, String)> =
        (1..=last).map(|v| format!("v{v}.json")).map(|name| (name.clone(), text(&name))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (&**name, &**text)).collect();
    let lock: Vec<String> = text("LOCK").lines().take(files.len()).map(|line| format!("{line}\n")).collect();
    Bundle::load(&files, &lock.concat()).unwrap()
}

/// Leaves the cards of the first release, whatever was published since.
fn first_two(cards: &Temp) {
    for entry in fs::read_dir(&cards.0).unwrap() {
        let path = entry.unwrap().path();
        let version = pax_gateway::price::card_file::version_of(&path.file_name().unwrap().to_string_lossy());
        if version.is_some_and(|version| version > 2) {
            fs::remove_file(path).unwrap();
        }
    }
    let lock: Vec<String> = cards.text("LOCK").lines().take(2).map(|line| format!("{line}\n")).collect();
    cards.write("LOCK", &lock.concat());
}

#[test]
fn from_the_readme_alone_a_new_card_is_made_looked_at_and_published() {
    let cards = Temp::of_cards("story", &published());
    let db = ledger(&cards);
    first_two(&cards);
    let last = 2;
    let (old, new) = (format!("v{last}"), format!("v{}", last + 1));
    let draft = format!("{new}.json");

    let said = cards.ok(&["new", "--reason", "cheaper gpt-4o", "--effective", "2027-01-01T00:00:00Z"]);
    assert!(said.contains(&draft) && said.contains(&format!("diff {old} {new}")), "{said}");
    let changed: Vec<(String, String)> = cards
        .text(&format!("{old}.json"))
        .lines()
        .zip(cards.text(&draft).lines())
        .filter(|(old, new)| old != new)
        .map(|(old, new)| (old.to_owned(), new.to_owned()))
        .collect();
    assert!(changed.len() <= 3, "only version, time and reason differ: {changed:?}");
    assert!(
        cards
            .fails(&["new", "--reason", "x", "--effective", "2027-01-01T00:00:00Z"])
            .contains("is a draft already")
    );

    let list = tests("story.json");
    let list = list.to_str().unwrap();
    let said = cards.ok(&[
        "import",
        "litellm",
        list,
        "--provider",
        "openai",
        "fireworks",
        "--model",
        "gpt-4o*",
        "*gpt-oss-120b",
    ]);
    assert!(said.contains("3 models taken, 0 left out, 1 not asked for"), "{said}");
    // A model that callers lose, edited by hand.
    let text = cards.text(&draft);
    let (from, to) =
        (text.find("    \"o3\": {").unwrap(), text.find("    \"text-embedding-3-large\"").unwrap());
    cards.write(&draft, &format!("{}{}", &text[..from], &text[to..]));

    let said = cards.ok(&["check"]);
    assert!(
        said.contains(&format!("note: {draft}: is a draft")) && said.contains(" 0 mistakes, 0 warnings"),
        "{said}"
    );
    let said = cards.ok(&["diff", &old, &new]);
    assert!(said.contains("gpt-4o") && said.contains("-20.0%"), "{said}");
    golden("revenue.txt", &cards.ok(&["diff", "v2", &new, "--against-ledger", &db]));
    let day = ["--since", "2026-11-24", "--until", "2026-11-25"];
    let said = cards.ok(&[&["diff", "v2", &new, "--against-ledger", &db][..], &day].concat());
    assert!(said.contains("Revenue of 2026-11-24 to 2026-11-25"), "{said}");
    golden(
        "revenue_two_days.json",
        &cards.ok(&[&["diff", "v2", &new, "--json", "--against-ledger", &db][..], &day].concat()),
    );

    let said = cards.ok(&["publish"]);
    assert!(said.contains(&format!("published {draft}")) && said.contains("make reload"), "{said}");
    assert!(cards.ok(&["check", "--strict"]).ends_with(" 0 mistakes, 0 warnings\n"));
    assert!(cards.fails(&["import", "litellm", list, "--provider", "openai"]).contains("there is no draft"));

    // Every older entry still proves itself, under the bundle with the new card.
    let after = bundle_of(&cards.0, last + 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Location::Sqlite(db.into()), Open::Read).await.unwrap();
        let mut snapshot = store.snapshot().await.unwrap();
        let report =
            pax_ledger::replay::replay(&mut snapshot, &after, &mut |found| panic!("{found}")).await.unwrap();
        assert_eq!((report.entries, report.differences), (5, 0));
    });
    let next = after.in_force("2027-01-01T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(next.version.0, last + 1);
}

#[test]
fn a_rollback_starts_from_an_older_card() {
    let cards = Temp::of_cards("rollback", &published());
    first_two(&cards);
    cards.ok(&["new", "--reason", "back to \"v1\"", "--effective", "2027-01-01T00:00:00Z", "--from", "v1"]);
    let draft = cards.text("v3.json");
    assert!(draft.contains("\"reason\": \"back to \\\"v1\\\"\""), "{draft}");
    assert!(draft.contains("\"input\": \"0.60\""), "{draft}");
    cards.ok(&["publish"]);
}
