//! A scenario that expects something else fails, whatever line says so.

use crate::{format, native};
use std::panic::{AssertUnwindSafe, catch_unwind};

const SCENARIO: &str = r#"# A call that breaks off
client POST /v1/chat/completions
client as mtx-demo-credit
client body {"model":"accounts/fireworks/models/gpt-oss-20b","stream":true,"messages":[]}
provider 200 text/event-stream
provider event {"choices":[{"delta":{"content":"1234"}}]}
provider cut
---
provider POST /v1/chat/completions
provider header accept-encoding: identity
provider no header cookie
provider body {"stream_options":{"include_usage":true},"model":"accounts/fireworks/models/gpt-oss-20b","stream":true,"messages":[]}
client 200
client header x-matrix-rate-table-version: {card}
client no header x-matrix-cost-pax
client body same
client cut
ledger input=0 output=1 provenance=estimated cost=0.000000034996"#;

const REFUSED: &str = "# No token\nclient POST /v1/embeddings\n---\nclient 401 invalid_api_key\nprovider nothing\nledger nothing";

/// Lines, and what makes each wrong.
const WRONG: [(&str, &str, &str); 15] = [
    (SCENARIO, "provider POST /v1/chat", "provider POST /v2/chat"),
    (SCENARIO, "provider header accept-encoding: identity", "provider header accept-encoding: gzip"),
    (SCENARIO, "provider no header cookie", "provider no header host"),
    (SCENARIO, "\"include_usage\":true", "\"include_usage\":false"),
    (SCENARIO, "client 200", "client 201"),
    (SCENARIO, "client header x-matrix-rate-table-version: {card}", "client header x-matrix-other: {card}"),
    (SCENARIO, "client no header x-matrix-cost-pax", "client no header x-matrix-exchange-id"),
    (SCENARIO, "client body same", "client body other"),
    (SCENARIO, "client cut\n", ""),
    (SCENARIO, "output=1", "output=2"),
    (SCENARIO, "cost=0.000000034996", "cost=0.000000034997"),
    (SCENARIO, "ledger input=0 output=1 provenance=estimated cost=0.000000034996", "ledger nothing"),
    (REFUSED, "client 401 invalid_api_key", "client 401 other_code"),
    (REFUSED, "provider nothing", "provider POST /v1/embeddings"),
    (REFUSED, "ledger nothing", "ledger input=1"),
];

/// Natively, which is where the same checks are made as in Envoy.
pub fn every_line_can_fail() {
    let fails = |text: &str| {
        let scenarios = format::parse("self check", text);
        // What it says is not for the reader of a test that passes.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let failed = catch_unwind(AssertUnwindSafe(|| native::run(&scenarios[0]))).is_err();
        std::panic::set_hook(hook);
        failed
    };
    assert!(!fails(SCENARIO) && !fails(REFUSED), "the scenarios themselves fail");
    for (scenario, line, wrong) in WRONG {
        assert!(scenario.contains(line), "{line:?}");
        assert!(fails(&scenario.replacen(line, wrong, 1)), "passes with {wrong:?} in place of {line:?}");
    }
}
