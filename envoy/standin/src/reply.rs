//! From a request and a behaviour to an answer.

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::answers::{Answer, Answers, without_any_usage, without_usage_chunk};
use crate::behaviour::{Behaviour, BehaviourError, header_map, header_value};
use crate::builtin::{self, ChatRequest};
use crate::play::Playback;
use crate::plays::{self, Plays};
use crate::work::{Model, Refused, Work, understand};
use crate::{sse, usage};

/// What there is where the behaviour says nothing.
const CONTEXT_TOKENS: u64 = 4_096;
const MODEL_TOKENS: u64 = 1_024;

/// What a path and method ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Route {
    Chat,
    Embeddings,
    Models,
}

/// An answer before it is played.
pub(crate) struct Reply {
    pub(crate) status: u16,
    content_type: &'static str,
    pieces: Vec<Bytes>,
    is_stream: bool,
}

impl Reply {
    fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "application/json", pieces: vec![body.into()], is_stream: false }
    }

    /// A control answer.
    pub(crate) fn ok(body: String) -> Self {
        Self::json(200, body)
    }

    fn stream(events: Vec<Bytes>) -> Self {
        Self {
            status: 200,
            content_type: "text/event-stream; charset=utf-8",
            pieces: events,
            is_stream: true,
        }
    }

    /// An error in OpenAI's shape.
    pub(crate) fn error(status: u16, code: &str, param: Option<&str>, message: &str) -> Self {
        let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
        let body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
        Self::json(status, body.to_string())
    }

    /// A control or error answer: sent as it is, by no behaviour.
    pub(crate) fn into_plain(self) -> Response<Playback> {
        let mut response = Response::new(Playback::plain(self.pieces.concat().into()));
        *response.status_mut() = status_code(self.status);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response
    }

    /// The response as the behaviour wants it.
    pub(crate) fn play(self, behaviour: &Behaviour) -> Result<Response<Playback>, BehaviourError> {
        let trailers = header_map("trailers", &behaviour.trailers)?;
        let trailers = (!trailers.is_empty()).then_some(trailers);
        let is_stream = self.is_stream;
        let (body, length) = Playback::new(self.pieces, behaviour, trailers);
        let mut response = Response::new(body);
        *response.status_mut() = status_code(self.status);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert("x-request-id", HeaderValue::from_static("req_standin_0001"));
        if let Some(value) = &behaviour.content_type {
            headers.insert(CONTENT_TYPE, header_value("content_type", value)?);
        }
        if behaviour.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if behaviour.content_length.unwrap_or(!is_stream) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let extra: HeaderMap = header_map("headers", &behaviour.headers)?;
        headers.extend(extra);
        Ok(response)
    }
}

/// Behaviours are checked when set; a status that is none after all is the stand-in's own error.
fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer that the behaviour, or else the default rule, gives to this request.
pub(crate) fn reply(answers: &Answers, behaviour: &Behaviour, route: Route, body: &[u8]) -> Reply {
    if let Some(body) = &behaviour.body {
        let reply = Reply::json(behaviour.status.unwrap_or(200), body.clone());
        return match &behaviour.content_type {
            Some(kind) if kind.starts_with("text/event-stream") => {
                let events = sse::split(&Bytes::from(body.clone()));
                Reply { status: reply.status, ..Reply::stream(events) }
            }
            _ => reply,
        };
    }
    if let Some(status) = behaviour.status.filter(|status| *status >= 400) {
        let message = format!("the stand-in was told to answer {status}");
        return Reply::error(status, "standin_status", None, &message);
    }
    let mut reply = match route {
        Route::Models => models(answers),
        Route::Chat | Route::Embeddings => match read(body, played(behaviour)) {
            Ok(request) => metered(answers, behaviour, route, &request),
            Err(error) => error,
        },
    };
    if reply.status == 200 {
        reply.status = behaviour.status.unwrap_or(200);
    }
    reply
}

/// The provider that is played.
fn played(behaviour: &Behaviour) -> &'static Plays {
    behaviour.plays.as_deref().and_then(plays::find).unwrap_or(&plays::STRICTEST)
}

/// The model that it serves.
fn served(behaviour: &Behaviour, model: &str) -> Model {
    let short = || behaviour.plays.is_none().then(|| builtin::greeting_tokens(model));
    Model {
        context_tokens: behaviour.context_tokens.unwrap_or(CONTEXT_TOKENS),
        model_tokens: behaviour.model_tokens.unwrap_or(MODEL_TOKENS),
        ends_after_tokens: behaviour.ends_after_tokens.or_else(short),
    }
}

/// The 401 for a call without a key, where one is asked for.
pub(crate) fn key_is_missing(behaviour: &Behaviour, has_key: bool) -> Option<Reply> {
    let asks = behaviour.asks_for_key && played(behaviour).needs_key;
    (asks && !has_key).then(|| Reply::error(401, "invalid_api_key", None, "you did not provide an API key"))
}

/// The request as the provider that is played understands it, as far as every provider insists on it.
fn read(body: &[u8], plays: &Plays) -> Result<Value, Reply> {
    let written: Value = serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is not JSON: {error}; send a JSON object");
        Reply::error(400, "invalid_json", None, &message)
    })?;
    let request = understand(body, plays).unwrap_or(written);
    if !request["model"].is_string() {
        let message = "you must provide a model parameter";
        return Err(Reply::error(400, "missing_model", Some("model"), message));
    }
    Ok(request)
}

fn metered(answers: &Answers, behaviour: &Behaviour, route: Route, request: &Value) -> Reply {
    let model = request["model"].as_str().unwrap_or_default();
    let wants_stream = request["stream"] == true;
    let asks_usage = request["stream_options"]["include_usage"] == true;
    let with_usage = (asks_usage || behaviour.always_usage) && !behaviour.no_usage;
    let named = behaviour.answer.as_deref().and_then(|name| Some((name, answers.get(name)?)));
    let named = named.filter(|(_, answer)| answer.is_embedding == (route == Route::Embeddings));
    let mut reply = match (named, route) {
        (Some((name, answer)), _) => {
            if let Some(refusal) = refusal(answer, request) {
                return refusal;
            }
            match play_answer(name, answer, wants_stream && route == Route::Chat, with_usage) {
                Ok(reply) => reply,
                Err(error) => return error,
            }
        }
        (None, Route::Embeddings) => Reply::json(200, builtin::embeddings(model, request)),
        (None, _) => {
            let prompt_tokens = builtin::tokens(&request["messages"]);
            let work = match Work::of(request, prompt_tokens, played(behaviour), served(behaviour, model)) {
                Ok(work) => work,
                Err(Refused { status, field, message }) => {
                    return Reply::error(status, "standin_refuses", Some(&field), &message);
                }
            };
            let chat = ChatRequest { model, prompt_tokens, work: &work };
            if wants_stream { Reply::stream(chat.events(with_usage)) } else { Reply::json(200, chat.json()) }
        }
    };
    if behaviour.no_usage {
        reply.pieces = if reply.is_stream {
            without_any_usage(reply.pieces)
        } else {
            let strip = |piece: Bytes| usage::without_usage(&piece).map_or(piece, Bytes::from);
            reply.pieces.into_iter().map(strip).collect()
        };
    }
    reply
}

fn play_answer(name: &str, answer: &Answer, wants_stream: bool, with_usage: bool) -> Result<Reply, Reply> {
    let missing = |form: &str, files: &str| {
        let message = format!("the answer {name:?} has no {form} form; add {files} or ask otherwise");
        Reply::error(500, "standin_no_form", None, &message)
    };
    if !wants_stream {
        let json = answer.json.clone().ok_or_else(|| missing("JSON", &format!("{name}.json")))?;
        return Ok(Reply::json(200, json));
    }
    let events = answer.events.clone();
    let events = events.ok_or_else(|| missing("stream", &format!("{name}.chunks.txt or {name}.sse")))?;
    Ok(Reply::stream(if with_usage { events } else { without_usage_chunk(events) }))
}

/// The 422 of a provider that refuses a field of the request, in Mistral's shape.
fn refusal(answer: &Answer, request: &Value) -> Option<Reply> {
    let found = |path: &&Vec<String>| path.iter().try_fold(request, |value, key| value.get(key)).is_some();
    let path = answer.refuses.iter().flatten().find(found)?;
    let input = path.iter().try_fold(request, |value, key| value.get(key));
    let location: Vec<&str> = std::iter::once("body").chain(path.iter().map(String::as_str)).collect();
    let problem = json!({
        "type": "extra_forbidden", "loc": location, "msg": "Extra inputs are not permitted", "input": input
    });
    let body = json!({
        "object": "error", "message": {"detail": [problem]},
        "type": "invalid_request_error", "param": null, "code": null
    });
    Some(Reply::json(422, body.to_string()))
}

fn models(answers: &Answers) -> Reply {
    let model = |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": "pax-standin"});
    let data: Vec<Value> = answers.models().into_iter().map(model).collect();
    Reply::json(200, json!({"object": "list", "data": data}).to_string())
}
