//! The request's head: where it wants to go, who calls, and the headers that matter.

use crate::base::account::Funding;
use crate::base::digest::Digest;
use crate::base::refusal::refusals::Refusal;
use crate::base::refusal::wrong_path::{WrongPath, percent_decoded};
use crate::base::text::is_slot_name;
use crate::dialect::usage::Mode;

/// No token is longer.
const TOKEN_MAX: usize = 512;
/// No label is longer.
const LABEL_MAX: usize = 128;
/// What comes before a model's id in a path.
const MODELS: &[u8] = b"/v1/models/";
/// One byte more than any model's id has: a longer id is cut to this, and so is no model's.
const MODEL_MAX: usize = 257;

/// Where a request wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /healthz`
    Healthz,
    /// `GET /readyz`
    Readyz,
    /// Anything for which the gateway must know who calls.
    Wanted(Wanted),
}

/// What a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A metered call.
    Metered(Mode),
    /// `GET /v1/models`: the models that the caller may use.
    Models,
    /// `GET /v1/models/{id}`: one of them.
    Model,
    /// `GET /v1/credits`, `GET /v1/credits/ledger`: the caller's balance and entries, from the ledger.
    Credits,
}

impl Wanted {
    /// How a body is read. A body that is not expected is read like that of a chat call, and means nothing.
    #[must_use]
    pub fn mode(self) -> Mode {
        match self {
            Self::Metered(mode) => mode,
            Self::Models | Self::Model | Self::Credits => Mode::Chat,
        }
    }
}

/// The caller's own provider key. It goes upstream as the provider's credential and nowhere else, so it
/// cannot be written as text.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKey(Vec<u8>);

impl OwnKey {
    /// The key, to be put into the request for the provider.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKey(..)")
    }
}

/// The head of a request for which the gateway must know who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it wants.
    pub wanted: Wanted,
    /// `:path`, query included, if the ledger answers the request.
    pub path: Vec<u8>,
    /// The id of the model that [`Wanted::Model`] asks for.
    pub model: String,
    /// The caller's own provider key.
    pub own_key: Option<OwnKey>,
    /// SHA-256 of the bearer token.
    pub token: Digest,
    /// `X-Matrix-Slot`.
    pub slot: Option<String>,
    /// `X-Matrix-Intent-ID`.
    pub intent_id: Option<String>,
    /// `X-Matrix-Goal-ID`.
    pub goal_id: Option<String>,
    /// Headers that stay as they came: `:scheme`, `x-forwarded-proto` (Envoy finds no route without it; the
    /// route takes it off), `accept`, `user-agent`.
    pub passed: Vec<(&'static str, Vec<u8>)>,
}

impl Route {
    /// The route of a method and a path. The path must match to the letter; a query is allowed, and dropped.
    ///
    /// # Errors
    /// [`Refusal::UnknownRoute`], [`Refusal::MethodNotAllowed`].
    pub fn of(method: &[u8], path: &[u8]) -> Result<Self, Refusal> {
        let bare = path.split(|byte| *byte == b'?').next().unwrap_or(&[]);
        let (route, allow) = match bare {
            b"/healthz" => (Self::Healthz, "GET"),
            b"/readyz" => (Self::Readyz, "GET"),
            b"/v1/chat/completions" => (Self::Wanted(Wanted::Metered(Mode::Chat)), "POST"),
            b"/v1/embeddings" => (Self::Wanted(Wanted::Metered(Mode::Embeddings)), "POST"),
            b"/v1/models" => (Self::Wanted(Wanted::Models), "GET"),
            b"/v1/credits" | b"/v1/credits/ledger" => (Self::Wanted(Wanted::Credits), "GET"),
            one if one.len() > MODELS.len() && one.starts_with(MODELS) => {
                (Self::Wanted(Wanted::Model), "GET")
            }
            _ => return Err(Refusal::UnknownRoute(WrongPath::of(bare))),
        };
        if method == allow.as_bytes() { Ok(route) } else { Err(Refusal::MethodNotAllowed { allow }) }
    }
}

impl Call {
    /// Whose provider key would pay.
    #[must_use]
    pub fn funding(&self) -> Funding {
        if self.own_key.is_some() { Funding::Byo } else { Funding::Platform }
    }

    /// Reads a request's headers, names in lowercase as Envoy gives them.
    ///
    /// # Errors
    /// The first header that is wrong, or a token that is missing.
    pub fn read<'a>(
        wanted: Wanted,
        limit_bytes: u64,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Refusal> {
        let mut call = Self {
            wanted,
            path: Vec::new(),
            model: String::new(),
            own_key: None,
            token: Digest([0; 32]),
            slot: None,
            intent_id: None,
            goal_id: None,
            passed: Vec::new(),
        };
        let mut authorization: Option<&[u8]> = None;
        let (mut byo, mut user_key) = (None, None);
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in headers {
            if name == "authorization" || name.starts_with("x-matrix-") {
                if seen.contains(&name) {
                    return Err(Refusal::InvalidHeader { name: name.to_owned() });
                }
                seen.push(name);
            }
            match name {
                "authorization" => authorization = Some(value),
                "x-matrix-slot" => call.slot = Some(slot(value)?),
                "x-matrix-intent-id" => call.intent_id = Some(label(name, value)?),
                "x-matrix-goal-id" => call.goal_id = Some(label(name, value)?),
                "x-matrix-byo-api-key" => byo = Some(value),
                "x-matrix-user-api-key" => user_key = Some(value),
                ":path" if wanted == Wanted::Credits => call.path = value.to_vec(),
                ":path" if wanted == Wanted::Model => call.model = asked_model(value),
                ":scheme" => call.passed.push((":scheme", value.to_vec())),
                "x-forwarded-proto" => call.passed.push(("x-forwarded-proto", value.to_vec())),
                "accept" => call.passed.push(("accept", value.to_vec())),
                "user-agent" => call.passed.push(("user-agent", value.to_vec())),
                "content-encoding" if !value.eq_ignore_ascii_case(b"identity") => {
                    return Err(Refusal::UnsupportedEncoding);
                }
                "content-length" if exceeds(value, limit_bytes) => {
                    return Err(Refusal::RequestTooLarge { limit_bytes });
                }
                _ => {}
            }
        }
        call.token = Digest::of(&[bearer(authorization)?]);
        call.own_key = own_key(byo, user_key)?;
        Ok(call)
    }
}

/// The caller's own key. It is in `X-Matrix-BYO-API-Key` itself, or in `X-Matrix-User-API-Key` if the former
/// is a yes. A key without a yes is refused: a caller that sends its key does not want to be charged.
fn own_key(byo: Option<&[u8]>, user_key: Option<&[u8]>) -> Result<Option<OwnKey>, Refusal> {
    let is = |value: &[u8], words: &[&str]| {
        words.iter().any(|word| value.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let (name, key) = match (byo, user_key) {
        (None, None) => return Ok(None),
        (Some(no), None) if is(no, &["false", "0", "no"]) => return Ok(None),
        (Some(yes), Some(key)) if is(yes, &["true", "1", "yes"]) => ("x-matrix-user-api-key", key),
        (Some(yes), None) if is(yes, &["true", "1", "yes", ""]) => return Err(Refusal::ByoMissingKey),
        (Some(key), None) => ("x-matrix-byo-api-key", key),
        (None, Some(_)) => return Err(Refusal::ByoMissingKey),
        // Two keys, or a key and a no: the gateway cannot choose between them.
        (Some(_), Some(_)) => {
            return Err(Refusal::InvalidHeader { name: "x-matrix-byo-api-key".to_owned() });
        }
    };
    let key = key.trim_ascii();
    if key.is_empty() {
        return Err(Refusal::ByoMissingKey);
    }
    // One header sent twice is joined with a comma, which no key has.
    let fits = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let valid = key.len() <= TOKEN_MAX && key.iter().all(fits);
    let key = valid.then(|| OwnKey(key.to_vec()));
    key.map(Some).ok_or_else(|| Refusal::InvalidHeader { name: name.to_owned() })
}

/// The token of `Bearer <token>` (RFC 6750's characters). Envoy joins a header sent twice with a comma, which
/// no token has.
fn bearer(value: Option<&[u8]>) -> Result<&[u8], Refusal> {
    let value = value.ok_or(Refusal::InvalidApiKey)?;
    if value.contains(&b',') {
        return Err(Refusal::InvalidHeader { name: "authorization".to_owned() });
    }
    let (scheme, token) = value.split_at_checked(7).ok_or(Refusal::InvalidApiKey)?;
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let token = token.trim_ascii();
    let valid = scheme.eq_ignore_ascii_case(b"bearer ") && (1..=TOKEN_MAX).contains(&token.len());
    if valid && token.iter().all(fits) { Ok(token) } else { Err(Refusal::InvalidApiKey) }
}

/// The model's id in the path of `GET /v1/models/{id}`. Its slashes may be escaped, as the clients of OpenAI
/// do it.
fn asked_model(path: &[u8]) -> String {
    let id = path.strip_prefix(MODELS).unwrap_or(path).split(|byte| *byte == b'?').next().unwrap_or(&[]);
    String::from_utf8_lossy(&percent_decoded(id, MODEL_MAX)).into_owned()
}

fn slot(value: &[u8]) -> Result<String, Refusal> {
    let slot = std::str::from_utf8(value).ok().filter(|slot| is_slot_name(slot));
    slot.map(str::to_owned).ok_or(Refusal::InvalidSlot)
}

fn label(name: &str, value: &[u8]) -> Result<String, Refusal> {
    let fits = (1..=LABEL_MAX).contains(&value.len()) && value.iter().all(|byte| (0x20..0x7f).contains(byte));
    let label = String::from_utf8(value.to_vec()).ok().filter(|_| fits);
    label.ok_or_else(|| Refusal::InvalidHeader { name: name.to_owned() })
}

fn exceeds(content_length: &[u8], limit_bytes: u64) -> bool {
    let length = std::str::from_utf8(content_length).ok().and_then(|text| text.parse::<u64>().ok());
    length.is_some_and(|length| length > limit_bytes)
}

#[cfg(test)]
#[path = "head_test.rs"]
mod tests;
