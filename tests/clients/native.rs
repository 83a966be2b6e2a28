//! Without an Envoy, by the production driver on the fake of one: each body for each provider, whole, in single bytes and, if it is small, cut in two everywhere.

use crate::bodies::Body;
use crate::common::case;
use crate::common::native::credit_account;
use libtest_mimic::Trial;
use pax_gateway::base::clock::{Moment, Now};
use pax_gateway::call::config::{Config, Gateway};
use pax_gateway::dialect::usage::Mode;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::{Model, RateCard};
use pax_gateway::worker::fake::Native;
use pax_stack::{Layout, Place, Upstream};
use serde_json::Value;
use std::rc::Rc;

/// A larger body is not cut everywhere.
const SMALL: usize = 2_048;

/// Cases for the real providers, and for one plain server in the place of all of them, which may be another program
/// with other options.
pub fn cases(bodies: &[Body]) -> Vec<Trial> {
    let real = cases_of(bodies, &Upstream::Providers, "");
    let plain = cases_of(bodies, &Upstream::Server("127.0.0.1:8000".into()), ", played by one plain server,");
    assert!(real.len() > 5 && plain.len() == real.len(), "the card or the providers were not found");
    real.into_iter().chain(plain).collect()
}

/// One case for each provider of `envoy/providers.json` and each route for which the newest card has a model of its.
fn cases_of(bodies: &[Body], upstream: &Upstream, played: &str) -> Vec<Trial> {
    let config = config(upstream);
    let mut cases = Vec::new();
    for name in config["providers"].as_object().unwrap().keys() {
        for (mode, route) in [(Mode::Chat, "chat"), (Mode::Embeddings, "embeddings")] {
            let bundle = Bundle::embedded().unwrap();
            let (card, now) = newest(&bundle);
            let Some(model) = model_of(card, name, mode) else { continue };
            // A plain server has the options of its own program, not those of the provider that it stands for.
            let server = if *upstream == Upstream::Providers { name } else { "" };
            let is_its = |body: &&Body| body.mode == mode && body.is_for(server);
            let bodies: Vec<Body> = bodies.iter().filter(is_its).cloned().collect();
            assert!(!bodies.is_empty());
            let config = config.to_string();
            let promise = format!("native: {name}{played} takes every {route} body of a stock client");
            cases.push(case(promise, move || {
                let config = Config::parse(&config).unwrap();
                let gateway = Gateway { config, bundle: bundle.into() };
                let mut native = Native::serving(Rc::default(), Now::at(now), &gateway);
                native.ledger.borrow_mut().open("mtx-any", credit_account("stock"));
                let refused = bodies.iter().filter_map(|body| refused(&mut native, body, &model));
                let refused: Vec<String> = refused.collect();
                assert!(refused.is_empty(), "{} of {}:\n{}", refused.len(), bodies.len(), refused.join("\n"));
            }));
        }
    }
    cases
}

/// The filter's configuration, as the stack writes it where every provider's key is found.
fn config(upstream: &Upstream) -> Value {
    let place = Place {
        gateway_address: "127.0.0.1".into(),
        gateway_port: 10_000,
        admin_port: 10_001,
        liveness_port: 10_005,
        workers: 2,
        ledgers: Vec::new(),
        wasm: "/filter.wasm".into(),
        filter: "/filter/filter.yaml".into(),
        // Not read here.
        ca_file: Some("/ca.crt".into()),
        hosts: Vec::new(),
        calls_log: pax_stack::CallsLog::Off,
    };
    let mut config = Value::Null;
    pax_stack::render(&Layout::find().unwrap(), &place, upstream, |filter| config = filter.clone()).unwrap();
    for provider in config["providers"].as_object_mut().unwrap().values_mut() {
        provider["platform_funding"] = true.into();
    }
    config
}

/// The newest card, and a moment at which it is in force.
fn newest(bundle: &Bundle) -> (&RateCard, Moment) {
    let far: Moment = "2100-01-01T00:00:00Z".parse().unwrap();
    (bundle.in_force(far).unwrap(), far)
}

/// The provider's model with the longest answers: it takes the recorded maxima as they are.
fn model_of(card: &RateCard, provider: &str, mode: Mode) -> Option<String> {
    let of_it = |(_, model): &(&String, &Model)| model.provider == provider && model.mode == mode;
    card.models.iter().filter(of_it).max_by_key(|(_, model)| model.max_output.0).map(|(id, _)| id.clone())
}

/// How a body was refused; `None` where it never was.
fn refused(native: &mut Native, body: &Body, model: &str) -> Option<String> {
    let text = body.for_model(model);
    let bytes = text.as_bytes();
    let last_cut = if bytes.len() <= SMALL { bytes.len() } else { 1 };
    let cut = (0..last_cut).map(|at| vec![&bytes[..at], &bytes[at..]]);
    let single = bytes.chunks(1).collect();
    let mut readings = cut.chain([single]);
    let why = readings.find_map(|pieces| call(native, body, &pieces).err());
    // A provider that was sent a call is owed for it, whether or not it answers.
    native.settle();
    assert!(native.records().is_empty(), "a record is left behind");
    native.ledger.borrow_mut().take_debits();
    why.map(|why| format!("{}: {why}", body.name))
}

/// One call on platform funding, by an account of tier credit, up to where it goes to the provider.
fn call(native: &mut Native, body: &Body, pieces: &[&[u8]]) -> Result<(), String> {
    let headers = [
        (":method", "POST"),
        (":path", body.path()),
        (":authority", "127.0.0.1:10000"),
        (":scheme", "http"),
        ("authorization", "Bearer mtx-any"),
        ("content-type", "application/json"),
    ];
    let context = native.head(&headers, false);
    for (index, bytes) in pieces.iter().enumerate() {
        native.proxy().request_body(context, bytes, index + 1 == pieces.len());
    }
    if native.state.stream(context, |stream| stream.reply.is_none() && stream.upstream.is_none())
        == Some(true)
    {
        // Nobody knows the token yet.
        native.settle();
    }
    let stream = native.proxy().close(context).unwrap();
    match (stream.reply, stream.upstream) {
        (Some(reply), _) => Err(String::from_utf8_lossy(&reply.body).into_owned()),
        (None, Some(upstream)) => sends_it_all(&upstream.body, body),
        (None, None) => Err("neither refused nor forwarded".to_owned()),
    }
}

/// What goes upstream is JSON, and says what the client said but for what the gateway may rewrite.
fn sends_it_all(sent: &[u8], body: &Body) -> Result<(), String> {
    const REWRITTEN: [&str; 5] =
        ["model", "stream_options", "max_tokens", "max_completion_tokens", "service_tier"];
    let sent: Value =
        serde_json::from_slice(sent).map_err(|error| format!("no JSON goes upstream: {error}"))?;
    let said: Value = serde_json::from_str(&body.text).unwrap();
    let kept = said.as_object().unwrap().iter().filter(|(key, _)| !REWRITTEN.contains(&key.as_str()));
    for (key, value) in kept {
        if sent[key] != *value {
            return Err(format!("{key} goes upstream as {}, not {value}", sent[key]));
        }
    }
    Ok(())
}
