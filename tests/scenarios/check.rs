//! What was seen against what should have been, the same for both drivers.

use crate::format::Scenario;
use serde_json::Value;

/// What client, provider and ledger saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub complete: bool,
    pub upstream: Option<Request>,
    /// The entry, or the debit that becomes one.
    pub entry: Option<Value>,
    /// What the entry should cost, where the scenario's own figure is another card's.
    pub priced: Option<(String, u32)>,
}

/// A request as the provider got it.
#[derive(Debug, Default)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What may reach a provider at all: nothing of the caller's but these.
const ALLOWED: [&str; 8] = [
    "host",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
    "transfer-encoding",
    "te",
];

impl Seen {
    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// A column of the entry as text.
    fn column(&self, name: &str) -> String {
        let value = self.entry.as_ref().and_then(|entry| entry.get(name)).unwrap_or(&Value::Null);
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Everything that is not as it should be, all at once.
    pub fn check(&self, scenario: &Scenario) {
        let mut wrong = Vec::new();
        self.check_client(scenario, &mut wrong);
        self.check_upstream(scenario, &mut wrong);
        self.check_ledger(scenario, &mut wrong);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn check_client(&self, scenario: &Scenario, wrong: &mut Vec<String>) {
        let expect = &scenario.expect;
        if self.status != expect.status {
            wrong.push(format!("client: status {} and not {}", self.status, expect.status));
        }
        if let Some(code) = &expect.code {
            let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
            let error = &body["error"];
            let has_shape = error["message"].is_string() && error["type"].is_string();
            if !has_shape || error.get("param").is_none() || error["code"] != code.as_str() {
                wrong.push(format!("client: no error {code} in OpenAI's shape: {body}"));
            }
            let retry = self.header(if self.status == 503 { "retry-after" } else { "x-should-retry" });
            if retry.is_none() {
                wrong.push("client: not told whether to try again".to_owned());
            }
        }
        for (name, value) in &expect.headers {
            let value = value
                .replace("{cost}", &self.column("cost_pax"))
                .replace("{card}", &self.column("rate_table_v"))
                .replace("{exchange}", &self.column("exchange_id"));
            if self.header(name).as_ref() != Some(&value) {
                wrong.push(format!("client: header {name} is {:?} and not {value:?}", self.header(name)));
            }
        }
        for name in &expect.absent {
            if let Some(value) = self.header(name) {
                wrong.push(format!("client: header {name} is there: {value:?}"));
            }
        }
        if let Some(body) = expect.body.as_ref().filter(|body| **body != self.body) {
            let (is, not) = (String::from_utf8_lossy(&self.body), String::from_utf8_lossy(body));
            wrong.push(format!("client: the body is\n{is}\nand not\n{not}"));
        }
        if self.complete == expect.cut {
            wrong.push(format!(
                "client: the answer {} to its end",
                if self.complete { "came" } else { "did not come" }
            ));
        }
    }

    fn check_upstream(&self, scenario: &Scenario, wrong: &mut Vec<String>) {
        let (seen, expect) = match (&self.upstream, &scenario.expect.upstream) {
            (None, None) => return,
            (Some(seen), None) => return wrong.push(format!("provider: got {} {:?}", seen.line, seen.body)),
            (None, Some(expect)) => return wrong.push(format!("provider: did not get {}", expect.line)),
            (Some(seen), Some(expect)) => (seen, expect),
        };
        if seen.line != expect.line {
            wrong.push(format!("provider: got {} and not {}", seen.line, expect.line));
        }
        let header = |name: &str| seen.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        for (name, value) in &expect.headers {
            if header(name) != Some(value) {
                wrong.push(format!("provider: header {name} is {:?} and not {value:?}", header(name)));
            }
        }
        for (name, value) in &seen.headers {
            let named = expect.headers.iter().any(|(expected, _)| expected == name);
            let allowed = named || ALLOWED.contains(&name.as_str());
            if expect.absent.contains(name) || !allowed || value.contains("mtx-") {
                wrong.push(format!("provider: header {name} is there: {value:?}"));
            }
        }
        if header("content-length").is_some_and(|length| *length != seen.body.len().to_string()) {
            wrong.push(format!(
                "provider: content-length {:?} of {}",
                header("content-length"),
                seen.body.len()
            ));
        }
        if let Some(body) = expect.body.as_ref().filter(|body| **body != seen.body) {
            let (is, not) = (String::from_utf8_lossy(&seen.body), String::from_utf8_lossy(body));
            wrong.push(format!("provider: the body is\n{is}\nand not\n{not}"));
        }
    }

    fn check_ledger(&self, scenario: &Scenario, wrong: &mut Vec<String>) {
        let expect = match (&self.entry, &scenario.expect.entry) {
            (None, None) => return,
            (Some(entry), None) => return wrong.push(format!("ledger: has {entry}")),
            (None, Some(_)) => return wrong.push("ledger: has no entry".to_owned()),
            (Some(_), Some(expect)) => expect,
        };
        for (name, value) in expect {
            let value = match (name.as_str(), &self.priced) {
                ("cost_pax", Some((cost, _))) => cost.clone(),
                ("rate_table_v", Some((_, card))) => card.to_string(),
                _ => value.clone(),
            };
            if self.column(name) != value {
                wrong.push(format!("ledger: {name} is {} and not {value}", self.column(name)));
            }
        }
    }
}
