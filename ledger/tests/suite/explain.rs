//! What `pax-ledger explain` prints of an entry, to the letter, and that the print-out suffices to make the bill again.
//! `UPDATE_GOLDEN=1` writes the golden files; the numbers in them were worked by hand.

use crate::common;

use common::debits::{estimated, exchange, reported};
use common::{Folder, bytes, replayed, run, stderr, stdout};
use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::{Pax, Tokens};
use pax_gateway::debit::estimate::{Bytes2, EstimatedFrom, Side, TokenLimits};
use pax_gateway::debit::frozen::{Debit, Ending, Flag};
use pax_gateway::dialect::usage::{Mode, Rules, Usage};
use pax_gateway::price::card::RateCard;
use pax_ledger::{book, cards};

/// The card of the golden charges, as the third one: the first two are built in.
fn card() -> String {
    let text = include_str!("../../../tests/golden/charges_card.json");
    let third = text.replace("\"rate_table_v\": 1", "\"rate_table_v\": 3");
    assert_ne!(third, text);
    third
}

/// A debit of the case's account under the golden card: counted and priced as the gateway does.
struct Case(Debit);

impl Case {
    fn reported(name: &str, n: u64, model: &str, usage: &str) -> Self {
        Self::of(reported(n, name, Tier::Credit), model).with(|debit| debit.usage = Some(usage.to_owned()))
    }

    fn estimated(name: &str, n: u64, model: &str) -> Self {
        Self::of(estimated(n, name, Tier::Credit), model)
    }

    fn of(mut debit: Debit, model: &str) -> Self {
        let card = RateCard::parse(&card()).unwrap();
        let priced = card.models.get(model);
        debit.intent_id = None;
        debit.mode = priced.map_or(Mode::Chat, |priced| priced.mode);
        debit.model = model.to_owned();
        debit.provider = "p".to_owned();
        (debit.rate_table_v, debit.card_sha256) = (card.version, card.sha256);
        Self(debit)
    }

    fn with(mut self, change: impl FnOnce(&mut Debit)) -> Self {
        change(&mut self.0);
        self
    }

    /// With what its estimate is made from changed, and reported usage kept for the other side.
    fn from(self, change: impl FnOnce(&mut Bytes2)) -> Self {
        self.with(|debit| {
            let Some(EstimatedFrom::Bytes2(from)) = &mut debit.estimated_from else { panic!("no estimate") };
            change(from);
        })
    }

    fn flagged(self, flags: &[Flag]) -> Self {
        self.with(|debit| debit.flags = flags.to_vec())
    }

    /// One side estimated, the other as this usage reports.
    fn beside(self, side: Side, usage: &str) -> Self {
        self.from(|from| from.side = side).with(|debit| {
            debit.usage = Some(usage.to_owned());
            debit.usage_rules = Some(Rules::OpenAi2.name().to_owned());
        })
    }

    fn read(debit: &Debit) -> Usage {
        let rules = debit.usage_rules.as_deref().and_then(Rules::named).unwrap();
        rules.read(debit.usage.as_deref().unwrap().as_bytes(), debit.mode).unwrap().usage
    }

    fn counted(self) -> Debit {
        let mut debit = self.0;
        let card = RateCard::parse(&card()).unwrap();
        let model = card.models.get(&debit.model);
        let usage = match &debit.estimated_from {
            None => Self::read(&debit),
            Some(EstimatedFrom::Bytes1(from)) => from.usage(model.unwrap().factors.bytes_per_token),
            Some(EstimatedFrom::Bytes2(from)) => {
                let limits =
                    TokenLimits { input: debit.input_limit.unwrap(), output: debit.output_limit.unwrap() };
                let reported = if from.side == Side::Both { Usage::default() } else { Self::read(&debit) };
                from.usage(limits, debit.unseen_ms, &reported)
            }
        };
        debit.set_usage(&usage);
        debit.cost_pax = match (debit.funding, debit.canon_v) {
            (Funding::Byo, _) => Pax::ZERO,
            (_, 1) => model.unwrap().price(&usage, debit.service_tier.as_deref()).unwrap(),
            _ => debit.charge(model.unwrap()).unwrap().unwrap(),
        };
        debit
    }
}

fn cases() -> Vec<Debit> {
    let mut cases = reported_cases();
    cases.extend(estimated_cases());
    cases.into_iter().map(Case::counted).collect()
}

fn reported_cases() -> Vec<Case> {
    let usage = |input: u64, output: u64, more: &str| {
        format!("{{\"prompt_tokens\":{input},\"completion_tokens\":{output}{more}}}")
    };
    let cached = ",\n \"prompt_tokens_details\":{\"cached_tokens\":1024}";
    vec![
        Case::reported("reported", 2, "cached", &usage(1_200, 345, cached)).with(|debit| {
            debit.stream = true;
            debit.unseen_ms = None;
            debit.asked_model = Some("cached-latest\u{1b}[2J".to_owned());
            (debit.n, debit.stated_maximum) = (Some(2), Some(Tokens(500)));
        }),
        Case::reported("tier_above_a_band", 4, "tiered", &usage(250_000, 1_000, "")).with(|debit| {
            debit.service_tier = Some("priority".to_owned());
            debit.input_limit = Some(Tokens(400_000));
        }),
        Case::reported("minimum_below_a_band", 6, "tiered", &usage(3, 2, "")),
        Case::reported("unpriced_tier", 8, "tiered", &usage(1_000, 100, ""))
            .with(|debit| debit.service_tier = Some("ultrafast".to_owned()))
            .flagged(&[Flag::ServiceTierUnpriced]),
        Case::reported(
            "part_unpriced",
            10,
            "cached",
            &usage(1_000, 5, ",\"prompt_tokens_details\":{\"cached_tokens\":600,\"image_tokens\":900}"),
        )
        .flagged(&[Flag::PartUnpriced]),
        Case::reported(
            "part_exceeds_whole",
            12,
            "spoken",
            &usage(100, 50, ",\"prompt_tokens_details\":{\"audio_tokens\":101}"),
        )
        .flagged(&[Flag::PartExceedsWhole]),
        Case::reported("embeddings", 14, "embed", "{\"prompt_tokens\":1200000,\"total_tokens\":1200000}")
            .with(|debit| {
                (debit.input_limit, debit.output_limit) = (Some(Tokens(1_500_000)), Some(Tokens(0)));
                debit.unseen_ms = None;
                debit.response_id = None;
            }),
        Case::reported("own_key", 16, "nobody/prices-this", &usage(1_000, 20, ""))
            .with(|debit| debit.funding = Funding::Byo),
        Case::reported(
            "version_1_reported",
            1,
            "cached",
            &usage(1_200, 345, ",\"prompt_tokens_details\":{\"cached_tokens\":1024,\"audio_tokens\":70}"),
        ),
    ]
}

fn estimated_cases() -> Vec<Case> {
    let chinese = |from: &mut Bytes2| {
        (from.input_ascii_bytes, from.input_other_bytes) = (4_321, 31);
        (from.output_ascii_bytes, from.output_other_bytes) = (999, 7);
    };
    vec![
        Case::estimated("estimated", 18, "tiered").from(chinese).with(|debit| {
            (debit.unseen_ms, debit.first_byte_ms, debit.duration_ms) = (Some(7_001), Some(7_000), Some(9_100));
        }),
        Case::estimated("output_impossible", 20, "plain")
            .from(chinese)
            .beside(Side::Output, "{\"prompt_tokens\":1000,\"completion_tokens\":95000000000000}")
            .flagged(&[Flag::UsageImpossible])
            .with(|debit| {
                debit.ending = Ending::Complete;
                (debit.n, debit.stated_maximum, debit.output_limit) =
                    (Some(2), Some(Tokens(50)), Some(Tokens(100)));
            }),
        Case::estimated("input_zero", 22, "pictured")
            .beside(
                Side::Input,
                "{\"prompt_tokens\":0,\"completion_tokens\":40,\"completion_tokens_details\":{\"reasoning_tokens\":30}}",
            )
            .flagged(&[Flag::UsageZero])
            .with(|debit| {
                (debit.ending, debit.unseen_ms) = (Ending::Complete, None);
                debit.input_limit = Some(Tokens(900));
            }),
        Case::estimated("orphaned", 24, "plain").from(|from| from.output_ascii_bytes = 0).with(|debit| {
            debit.ending = Ending::Orphaned;
            (debit.upstream_status, debit.response_id, debit.provider_request_id) = (None, None, None);
            (debit.unseen_ms, debit.first_byte_ms, debit.duration_ms) = (None, None, None);
        }),
        Case::estimated("a_picture_in_a_shared_window", 26, "plain")
            .from(|from| (from.not_text, from.shares_window) = (true, true))
            .with(|debit| {
                debit.ending = Ending::ProviderBrokeOff;
                (debit.input_limit, debit.output_limit) = (Some(Tokens(1_000_000)), Some(Tokens(1_000_000)));
            }),
        Case::estimated("maximum_not_kept", 28, "plain").from(|from| from.output_ascii_bytes = 4_000).with(
            |debit| {
                (debit.stated_maximum, debit.output_limit) = (Some(Tokens(50)), Some(Tokens(50)));
            },
        ),
        Case::estimated("version_1_estimated", 3, "plain"),
    ]
}

/// A ledger with an account and an entry for each case.
async fn ledger(debits: &[Debit]) -> Folder {
    let folder = Folder::new();
    let store = folder.store().await;
    cards::learn(&store, &[&card()]).await.unwrap();
    let now = Moment::from_ms(common::debits::DAY_0 + common::debits::DAY_MS);
    for debit in debits {
        assert!(
            store
                .create_account(&common::act_at(now), &debit.account, Tier::Credit, None)
                .await
                .unwrap()
                .is_some()
        );
    }
    let lines: Vec<_> = debits.iter().map(|debit| book::Line::read(&bytes(debit))).collect();
    let mut writer = store.writer();
    let replies = writer.record(&lines.into(), now).await.unwrap();
    assert!(replies.iter().all(|reply| reply.account_seq == Some(1)), "{replies:?}");
    writer.close().await;
    store.close().await;
    folder
}

fn golden(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain");
    folder.join(format!("{name}.txt"))
}

#[tokio::test]
async fn every_bill_is_printed_to_the_letter_and_proves_itself() {
    let debits = cases();
    let folder = ledger(&debits).await;
    let mut wrong = String::new();
    for debit in &debits {
        let output = run(&folder.database(), &["explain", &debit.exchange_id.to_string()]);
        let (text, path) = (stdout(&output), golden(&debit.account));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let is_short = text.lines().count() <= 40;
        if text != expected || !output.status.success() || !is_short || !stderr(&output).is_empty() {
            wrong.push_str(&format!("{}: {}\n{text}{}\n", path.display(), output.status, stderr(&output)));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let (_, found) = replayed(&folder.store().await).await;
    assert_eq!(found, []);
}

#[test]
fn whoever_has_only_the_print_out_can_make_the_bill_again() {
    let mut calculated = 0;
    for debit in cases().iter().filter(|debit| debit.funding == Funding::Platform) {
        let name = &debit.account;
        let text = std::fs::read_to_string(golden(name)).unwrap();
        let (mut sum, mut printed, mut minimum, mut cost) = (0, None, 0, None);
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [_, tokens, "×", rate, "÷", "1000000", "=", amount] => {
                    let made = tokens.parse::<u128>().unwrap() * decimal(rate, 9);
                    assert_eq!(made, decimal(amount, 15), "{name}: {line}");
                    sum += made;
                    calculated += 1;
                    let derived = text.lines().any(|other| {
                        let other: Vec<&str> = other.split_whitespace().collect();
                        other.first() == words.first()
                            && matches!(other.as_slice(), [_, _, "÷", _, "=", derived, _] if derived == rate)
                    });
                    assert!(derived, "{name}: where does {rate} come from?\n{text}");
                }
                ["sum", amount] => printed = Some(decimal(amount, 15)),
                ["minimum", amount, "PAX", "a", "call:", usd, "US", "dollars", "÷", pax_usd, ..] => {
                    minimum = decimal(amount, 12);
                    let usd = decimal(usd, 12).to_string();
                    assert_eq!(minimum, quotient(&usd, pax_usd.trim_end_matches(','), 0), "{line}");
                }
                [_, usd, "÷", pax_usd, "=", rate, _path] => {
                    assert_eq!(quotient(usd, pax_usd, 9), decimal(rate, 9), "{name}: {line}");
                }
                ["cost", amount, "PAX:", ..] => cost = Some(decimal(amount, 12)),
                _ => {}
            }
        }
        assert_eq!(printed, Some(sum), "{name}");
        assert_eq!(cost, Some(((sum + 500) / 1_000).max(minimum)), "{name}");
        assert_eq!(cost, Some(u128::try_from(debit.cost_pax.picopax()).unwrap()), "{name}");
    }
    assert!(calculated > 25, "{calculated}");
}

#[test]
fn the_readme_shows_what_is_printed() {
    let blocks = include_str!("../../README.md").split("```text\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let printed = std::fs::read_to_string(golden("estimated")).unwrap();
    let shown = blocks.iter().filter(|block| block.lines().count() > 10 && printed.contains(**block));
    assert_eq!(shown.count(), 1, "{blocks:#?}");
}

/// A decimal in units of its last place.
fn decimal(text: &str, decimals: usize) -> u128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= decimals, "{text}");
    format!("{whole}{fraction:0<decimals$}").parse().unwrap()
}

/// A quotient, half up, in units of the last of so many decimals.
fn quotient(of: &str, by: &str, decimals: u32) -> u128 {
    let (of, by) = (decimal(of, 12), decimal(by, 12));
    (2 * of * 10_u128.pow(decimals) + by) / (2 * by)
}

#[tokio::test]
async fn an_entry_that_was_tampered_with_says_what_does_not_come_out_the_same_and_exits_1() {
    if common::on_postgres() {
        return;
    }
    let debits = cases();
    let debit = debits.iter().find(|debit| debit.account == "reported").unwrap();
    let id = debit.exchange_id.to_string();
    let cost = debit.cost_pax.to_string();
    let blob = |from: &str, to: &str| {
        format!("canonical = CAST(replace(CAST(canonical AS TEXT), '{from}', '{to}') AS BLOB)")
    };
    for (change, expected) in [
        (blob(&cost, "0.000000000001"), format!("priced again, it costs {cost}, not 0.000000000001")),
        (blob("\"tokens_output\":345", "\"tokens_output\":5"), "counted again, its tokens are".to_owned()),
        // What proves itself, and was not so recorded.
        (blob("\"slot\":\"default\"", "\"slot\":\"planner\""), "but what it holds makes".to_owned()),
        ("cost_picopax = 1".to_owned(), "a column of its row differs".to_owned()),
    ] {
        let folder = ledger(std::slice::from_ref(debit)).await;
        let before = run(&folder.database(), &["explain", &id]);
        assert!(before.status.success() && !stdout(&before).contains("DOES NOT"), "{before:?}");
        let mut shell = folder.shell().await;
        let triggers: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(&mut shell)
                .await
                .unwrap();
        for (name,) in triggers {
            sqlx::query(&format!("DROP TRIGGER {name}")).execute(&mut shell).await.unwrap();
        }
        let sql = format!("UPDATE credit_ledger SET {change} WHERE exchange_id = '{id}'");
        assert_eq!(sqlx::query(&sql).execute(&mut shell).await.unwrap().rows_affected(), 1);
        let output = run(&folder.database(), &["explain", &id]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{change}");
        assert!(text.contains("DOES NOT PROVE ITSELF"), "{text}");
        assert!(text.contains(&expected), "{expected}: {text}");
        // The bill is still that of its counts, so that it shows what the call should have cost.
        assert!(text.contains(" × ") && text.contains("\n  sum "), "{text}");
    }
}

#[tokio::test]
async fn an_exchange_or_a_card_that_is_not_there_says_what_to_do() {
    if common::on_postgres() {
        return;
    }
    let debits = cases();
    let debit = debits.iter().find(|debit| debit.account == "reported").unwrap();
    let folder = ledger(std::slice::from_ref(debit)).await;
    let output = run(&folder.database(), &["explain", &exchange(999).to_string()]);
    assert_eq!(output.status.code(), Some(1));
    for said in [&exchange(999).to_string(), "was not charged", "pax_outbox_waiting", "--log FILE"] {
        assert!(stderr(&output).contains(said), "{said}: {output:?}");
    }
    assert_eq!(stdout(&output), "");
    assert_eq!(run(&folder.database(), &["explain", "chatcmpl-8f2b"]).status.code(), Some(2));

    let mut shell = folder.shell().await;
    sqlx::query("DROP TRIGGER rate_cards_no_delete").execute(&mut shell).await.unwrap();
    sqlx::query("DELETE FROM rate_cards WHERE version = 3").execute(&mut shell).await.unwrap();
    let output = run(&folder.database(), &["explain", &debit.exchange_id.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    for said in [
        "cards add FILE",
        "DOES NOT PROVE ITSELF",
        "is not in the bundle",
        "tokens, as the provider reported",
    ] {
        assert!(stdout(&output).contains(said), "{said}: {output:?}");
    }
}
