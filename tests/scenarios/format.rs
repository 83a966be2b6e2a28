//! The scenarios' text. A file holds scenarios, separated by lines of `===`. One is a comment that says what it
//! promises (its first line is its name), what happens, a line `---`, and what each party should see. Every line
//! begins with who does it or sees it:
//!
//! ```text
//! # What it promises
//! clock 2026-06-01T12:00:00Z                 natively only; this is the default, under which card v1 is in force
//! only envoy                                 or `only native`: what the other driver cannot show
//! ledger account NAME TIER TOKEN             an account of its own
//! ledger disable NAME · ledger revoke TOKEN · ledger cap NAME PAX
//! client POST /v1/chat/completions
//! client host HOST                           the host that it names; without it: gateway.test
//! client as TOKEN                            a header: Bearer TOKEN
//! client header NAME: VALUE                  as it stands; \xNN \r \n \\ are bytes
//! client body TEXT                           as it stands, lines are joined by nothing; `client raw` knows \xNN
//! provider 200 text/event-stream             without it: whatever the provider likes, for it should not be asked
//! provider header NAME: VALUE
//! provider event TEXT                        `data: TEXT` and an empty line; `provider body TEXT`, `provider raw`
//! provider cut                               the connection ends there
//! ---
//! client 200 · client 401 invalid_api_key    a code demands OpenAI's error shape
//! client header NAME: VALUE                  {cost} {card} {exchange} are the entry's
//! client no header NAME
//! client body same · client body same but event 3 · client body TEXT
//! client cut                                 the answer did not come to its end
//! provider nothing · provider POST /v1/chat/completions
//! provider header NAME: VALUE · provider no header NAME
//! provider body same · provider body TEXT    the request's body as the client sent it, or this one
//! ledger nothing
//! ledger input=12 cached=0 output=3 cost=0.000000314961 provenance=reported
//! ```
//!
//! `ledger` names the entry's columns, with `input`, `cached`, `output`, `cost` and `card` for short. In Envoy the
//! card is the one in force, so there `cost` is what the core makes of the entry's counts.

use std::collections::BTreeMap;

/// One scenario.
#[derive(Debug, Default)]
pub struct Scenario {
    pub name: String,
    pub only: Option<String>,
    pub clock: Option<String>,
    pub ledger: Vec<Vec<String>>,
    pub method: String,
    pub path: String,
    /// What it names as the host; none for `gateway.test`, which the gateway answers to.
    pub host: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
    pub provider: Option<Provider>,
    pub expect: Expect,
}

/// What the provider answers.
#[derive(Debug, Default)]
pub struct Provider {
    pub status: u16,
    pub content_type: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body's pieces: an event, a line, raw bytes.
    pub pieces: Vec<Vec<u8>>,
    pub cut: bool,
}

impl Provider {
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

/// What each should see.
#[derive(Debug, Default)]
pub struct Expect {
    pub status: u16,
    pub code: Option<String>,
    pub headers: Vec<(String, String)>,
    pub absent: Vec<String>,
    pub body: Option<Vec<u8>>,
    pub cut: bool,
    /// None where the provider should see nothing.
    pub upstream: Option<Upstream>,
    /// None where the ledger should see nothing.
    pub entry: Option<BTreeMap<String, String>>,
    /// Whether `provider ...` and `ledger ...` were said at all.
    told: (bool, bool),
}

/// What the provider should see.
#[derive(Debug, Default)]
pub struct Upstream {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub absent: Vec<String>,
    pub body: Option<Vec<u8>>,
}

/// Reads a file of scenarios.
pub fn parse(file: &str, text: &str) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    let mut number = 0;
    for block in text.split("\n===\n") {
        let mut scenario = Scenario::default();
        let mut below = false;
        for line in block.lines() {
            number += 1;
            let read = match line.split_once(' ').unwrap_or((line, "")) {
                ("#", name) if scenario.name.is_empty() => {
                    scenario.name = name.to_owned();
                    Some(())
                }
                ("#" | "", _) => Some(()),
                ("---", _) => {
                    below = true;
                    Some(())
                }
                (who, what) if below => scenario.should(who, what),
                (who, what) => scenario.does(who, what),
            };
            assert!(read.is_some(), "{file}:{number}: {line:?} is not understood; see format.rs");
        }
        number += 1;
        let whole = below && !scenario.name.is_empty() && scenario.expect.told == (true, true);
        assert!(
            whole,
            "{file}:{number}: a scenario has a name, a `---`, and says what client, provider and ledger see"
        );
        scenarios.push(scenario);
    }
    scenarios
}

impl Scenario {
    fn does(&mut self, who: &str, what: &str) -> Option<()> {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        match (who, word) {
            ("clock", _) => self.clock = Some(what.to_owned()),
            ("only", "envoy" | "native") => self.only = Some(what.to_owned()),
            ("ledger", "account" | "disable" | "revoke" | "cap") => {
                self.ledger.push(what.split(' ').map(str::to_owned).collect());
            }
            ("client", "as") => {
                self.headers.push(("authorization".to_owned(), format!("Bearer {rest}").into_bytes()));
            }
            ("client", "host") => self.host = Some(rest.to_owned()),
            ("client", "header") => self.headers.push(header(rest)?),
            ("client", "body") => self.body.get_or_insert_default().extend_from_slice(rest.as_bytes()),
            ("client", "raw") => self.body.get_or_insert_default().extend(unescape(rest)?),
            ("client", method) => (self.method, self.path) = (method.to_owned(), rest.to_owned()),
            ("provider", _) => return self.provider.get_or_insert_default().does(word, rest),
            _ => return None,
        }
        Some(())
    }

    fn should(&mut self, who: &str, what: &str) -> Option<()> {
        match who {
            "client" => self.client_should(what),
            "provider" => self.provider_should(what),
            "ledger" => {
                self.expect.told.1 = true;
                if what != "nothing" {
                    let pairs = what.split_ascii_whitespace().map(|pair| pair.split_once('='));
                    let pairs: Option<Vec<_>> = pairs.collect();
                    let pairs = pairs?.into_iter().map(|(name, value)| (column(name), value.to_owned()));
                    self.expect.entry.get_or_insert_default().extend(pairs);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn client_should(&mut self, what: &str) -> Option<()> {
        let answered = self.provider.as_ref().map(|provider| provider.pieces.clone()).unwrap_or_default();
        let expect = &mut self.expect;
        if let Some(rest) = what.strip_prefix("no header ") {
            expect.absent.push(rest.to_owned());
        } else if let Some(rest) = what.strip_prefix("header ") {
            let (name, value) = rest.split_once(": ")?;
            expect.headers.push((name.to_owned(), value.to_owned()));
        } else if what == "cut" {
            expect.cut = true;
        } else if let Some(number) = what.strip_prefix("body same but event ") {
            let mut pieces = answered;
            pieces.remove(number.parse::<usize>().ok()?.checked_sub(1)?);
            expect.body = Some(pieces.concat());
        } else if let Some(text) = what.strip_prefix("body ") {
            expect.body = Some(if text == "same" { answered.concat() } else { text.as_bytes().to_vec() });
        } else {
            let (status, code) =
                what.split_once(' ').map_or((what, None), |(status, code)| (status, Some(code)));
            expect.status = status.parse().ok()?;
            expect.code = code.map(str::to_owned);
        }
        Some(())
    }

    fn provider_should(&mut self, what: &str) -> Option<()> {
        self.expect.told.0 = true;
        if what == "nothing" {
            return Some(());
        }
        let sent = self.body.clone().unwrap_or_default();
        let upstream = self.expect.upstream.get_or_insert_default();
        if let Some(rest) = what.strip_prefix("no header ") {
            upstream.absent.push(rest.to_owned());
        } else if let Some(rest) = what.strip_prefix("header ") {
            let (name, value) = rest.split_once(": ")?;
            upstream.headers.push((name.to_owned(), value.to_owned()));
        } else if let Some(text) = what.strip_prefix("body ") {
            upstream.body = Some(if text == "same" { sent } else { text.as_bytes().to_vec() });
        } else {
            upstream.line = what.to_owned();
        }
        Some(())
    }
}

impl Provider {
    fn does(&mut self, word: &str, rest: &str) -> Option<()> {
        match word {
            "header" => self.headers.push(header(rest)?),
            "event" => self.pieces.push(format!("data: {rest}\n\n").into_bytes()),
            "body" => self.pieces.push(rest.as_bytes().to_vec()),
            "raw" => self.pieces.push(unescape(rest)?),
            "cut" => self.cut = true,
            status => {
                self.status = status.parse().ok()?;
                self.content_type = if rest.is_empty() { "application/json" } else { rest }.to_owned();
            }
        }
        Some(())
    }
}

fn header(text: &str) -> Option<(String, Vec<u8>)> {
    let (name, value) = text.split_once(": ")?;
    Some((name.to_owned(), unescape(value)?))
}

fn column(name: &str) -> String {
    match name {
        "input" | "output" => format!("tokens_{name}"),
        "cached" => "tokens_cached_input".to_owned(),
        "cost" => "cost_pax".to_owned(),
        "card" => "rate_table_v".to_owned(),
        other => other.to_owned(),
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes() {
            [b'x', ..] => (u8::from_str_radix(after.get(1..3)?, 16).ok()?, 3),
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b'\\', ..] => (b'\\', 1),
            _ => return None,
        };
        bytes.push(byte);
        rest = after.get(length..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}
