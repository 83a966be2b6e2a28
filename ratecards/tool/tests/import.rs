//! `import litellm`: over a small list of our own, word for word; over the real one, if `PAX_LITELLM_PRICES`
//! names it, to the last digit.

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use common::{Temp, golden, published, tests};
use pax_gateway::base::pax::Tokens;
use pax_gateway::dialect::usage::{Mode, Usage};
use pax_gateway::price::card::{Model, RateCard};

const EFFECTIVE: &str = "2027-01-01T00:00:00Z";

fn list() -> String {
    tests("list.json").to_str().unwrap().to_owned()
}

#[test]
fn each_model_is_taken_or_left_out_with_the_reason() {
    let cards = Temp::of_cards("import", &tests("cards"));
    let said = cards.ok(&["import", "litellm", &list(), "--provider", "openai", "groq"]);
    golden("import.txt", &said);
    golden("import.json", &cards.text("v2.json"));
    // What was taken is a card, and a second time changes nothing.
    assert!(cards.ok(&["check"]).contains("0 mistakes"));
    let again = cards.ok(&["import", "litellm", &list(), "--provider", "openai", "groq"]);
    assert!(again.contains("v2.json stays as it is"), "{again}");
}

#[test]
fn an_operator_may_say_what_costs_nothing_here() {
    let cards = Temp::of_cards("import-leave", &tests("cards"));
    let import = ["import", "litellm", &list(), "--provider", "openai", "--model"];
    let fails = |more: &[&str]| cards.fails(&[&import[..], more].concat());
    let ok = |more: &[&str]| cards.ok(&[&import[..], more].concat());
    let said = fails(&["zero-cache"]);
    assert!(said.contains("--allow-zero takes that for a part that is not priced apart"), "{said}");
    assert!(
        ok(&["zero-cache", "--allow-zero"])
            .contains("cache_creation_input_token_cost is 0: taken for not priced")
    );
    assert!(
        fails(&["zero", "--allow-zero"]).contains("input_cost_per_token is 0: no card makes a model free")
    );
    assert!(fails(&["search"]).contains("no card can express search_context_cost_per_query"));
    let before = cards.text("v2.json");
    assert!(
        ok(&["search", "--ignore", "search_context_cost_per_query", "--dry-run"])
            .contains("nothing was written")
    );
    assert_eq!(cards.text("v2.json"), before);
    ok(&["search", "--ignore", "search_context_cost_per_query"]);
    assert!(
        cards.text("v2.json").contains("\"search\": {\n      \"provider\": \"openai\", \"mode\": \"chat\"")
    );
}

/// What a card cannot say of a price is left unpriced only if that hides no cost, and the tool always says
/// so.
#[test]
fn what_can_be_left_unpriced_is_by_one_flag_and_is_said() {
    let cards = Temp::of_cards("import-unpriced", &tests("cards"));
    let list = tests("unpriced.json");
    let import = ["import", "litellm", list.to_str().unwrap(), "--provider", "openai", "mistral"];
    let said = cards.fails(&import);
    assert!(
        said.contains("no model was taken") && said.contains("--leave-unpriced takes the model"),
        "{said}"
    );
    let said = cards.ok(&[&import[..], &["--leave-unpriced"]].concat());
    golden("unpriced.txt", &said);
    assert!(cards.ok(&["check"]).contains("0 mistakes"));
    // A folder beside the gateway's providers: a provider that is called in a region charges more than the
    // card would say.
    let checkout = Temp::new("import-region");
    fs::create_dir_all(checkout.0.join("ratecards")).unwrap();
    fs::create_dir_all(checkout.0.join("envoy")).unwrap();
    for name in ["v1.json", "v2.json", "LOCK"] {
        checkout.write(&format!("ratecards/{name}"), &cards.text(name));
    }
    let dir = checkout.0.join("ratecards");
    let region = ["--dir", dir.to_str().unwrap(), "--model", "regional", "--leave-unpriced", "--dry-run"];
    for (authority, is_taken) in [("api.openai.com", true), ("eu.api.openai.com", false)] {
        let providers = format!("{{\"openai\": {{\"authority\": \"{authority}\"}}}}");
        checkout.write("envoy/providers.json", &providers);
        let (ok, said) = cards.run(&[&import[..], &region].concat());
        assert_eq!(ok, is_taken, "{said}");
        assert!(is_taken || said.contains("the gateway calls openai at eu.api.openai.com"), "{said}");
    }
}

#[test]
fn a_published_card_is_never_imported_into() {
    let cards = Temp::of_cards("import-locked", &tests("cards"));
    let before = cards.text("v1.json");
    let said = cards.fails(&["import", "litellm", &list(), "--provider", "openai", "--into", "v1.json"]);
    assert!(said.contains("v1.json is published: it never changes"), "{said}");
    assert_eq!(cards.text("v1.json"), before);
    assert!(
        cards
            .fails(&["import", "litellm", &list(), "--provider", "acme"])
            .contains("no model of provider \"acme\"")
    );
}

/// Usages of all shapes: below and above every band, with and without each part.
fn usages(mode: Mode) -> Vec<Usage> {
    let counts: [[u64; 7]; 8] = [
        [1, 0, 0, 0, 1, 0, 0],
        [1_234, 234, 0, 0, 567, 0, 67],
        [127_999, 99_999, 1_000, 500, 4_321, 321, 1_234],
        [128_001, 3, 77, 0, 99, 0, 98],
        [200_001, 150_000, 40_000, 9, 10, 2, 3],
        [271_999, 0, 271_999, 0, 65_535, 0, 0],
        [272_001, 33_333, 44_444, 55_555, 7_777, 1_111, 2_222],
        [922_000, 1, 1, 1, 128_000, 1, 127_999],
    ];
    let usage = |c: &[u64; 7]| match mode {
        Mode::Embeddings => Usage { input: Tokens(c[0]), cached_input: Tokens(c[1]), ..Usage::default() },
        _ => Usage {
            input: Tokens(c[0]),
            cached_input: Tokens(c[1]),
            cache_write_input: Tokens(c[2]),
            audio_input: Tokens(c[3]),
            output: Tokens(c[4]),
            audio_output: Tokens(c[5]),
            reasoning_output: Tokens(c[6]),
            ..Usage::default()
        },
    };
    counts.iter().map(usage).collect()
}

fn line(provider: &str, upstream: &str, model: &Model, tier: Option<&str>, usage: &Usage) -> String {
    let cost = model.price(usage, tier).unwrap();
    let mode = if model.mode == Mode::Chat { "chat" } else { "embedding" };
    let parts = [
        usage.input,
        usage.cached_input,
        usage.cache_write_input,
        usage.audio_input,
        usage.output,
        usage.audio_output,
        usage.reasoning_output,
    ];
    let counts: Vec<String> = parts.iter().map(Tokens::to_string).collect();
    format!("{provider}\t{upstream}\t{mode}\t{}\t{}\t{cost}\n", tier.unwrap_or("-"), counts.join(" "))
}

#[test]
fn the_real_list_is_priced_as_pythons_decimal_does() {
    let Some(list) = env::var_os("PAX_LITELLM_PRICES").map(PathBuf::from) else {
        println!("skipped: PAX_LITELLM_PRICES does not name LiteLLM's price list");
        return;
    };
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let cards = Temp::of_cards("import-real", &published());
    cards.ok(&["new", "--reason", "the whole list", "--effective", EFFECTIVE]);
    let draft = newest(&cards);
    let providers = ["fireworks", "together", "openai", "deepseek", "groq", "mistral", "xai"];
    let list = list.to_str().unwrap();
    let mut args = vec!["import", "litellm", list, "--leave-unpriced", "--provider"];
    args.extend(providers);
    println!("{}", cards.ok(&args));
    let said = cards.ok(&["check"]);
    assert!(said.contains(" 0 mistakes"), "{said}");
    let card = RateCard::parse(&cards.text(&draft)).unwrap();
    let mut cases = String::new();
    for (id, model) in &card.models {
        let upstream = model.upstream_model.as_ref().unwrap_or(id);
        let tiers = model.service_tiers.keys().map(|name| Some(name.as_str()));
        for tier in [None].into_iter().chain(tiers) {
            for usage in usages(model.mode) {
                cases.push_str(&line(&model.provider, upstream, model, tier, &usage));
            }
        }
    }
    cards.write("cases.tsv", &cases);
    let script = tests("decimal_check.py");
    let output = Command::new("python3")
        .arg(script)
        .args([list, &card.pax_usd.to_string(), cards.0.join("cases.tsv").to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    let models: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(models >= 200, "{said}");
}

/// The name of the card with the highest version.
fn newest(cards: &Temp) -> String {
    let names =
        fs::read_dir(&cards.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let versions = names.filter_map(|name| pax_gateway::price::card_file::version_of(&name));
    format!("v{}.json", versions.max().unwrap())
}
