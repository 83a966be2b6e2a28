//! Envoy's own replies (a body too large, a provider that is down) in OpenAI's error shape, from
//! `envoy/local-replies.json`: the first entry whose condition holds is the answer.

use crate::render::{Values, fill, quoted};
use crate::{Layout, StackError};
use serde::Deserialize;
use serde_json::json;

/// The provider that the filter marked a request for.
const PROVIDER: &str = "%FILTER_STATE(wasm.pax_provider:PLAIN)%";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    /// A CEL expression over `response.code`, `response.code_details` and `filter_state`.
    when: String,
    status: u16,
    r#type: String,
    code: String,
    /// `{provider}` in it becomes the name of the provider that the filter marked the request for.
    message: String,
    /// Whether the same request can succeed a moment later.
    retry: bool,
    /// Whether it replaces an answer that the filter held back, and whose exchange is charged.
    #[serde(default)]
    held: bool,
}

/// The `local_reply_config` block.
pub(crate) fn render(layout: &Layout) -> Result<String, StackError> {
    let replies: Vec<Reply> = serde_json::from_str(&layout.read("local-replies.json")?)
        .map_err(|error| StackError::Config(format!("envoy/local-replies.json: {error}")))?;
    let fragment = layout.read("fragments/local-reply.yaml")?;
    let mut mappers = String::new();
    for reply in &replies {
        mappers.push_str(&fill("fragments/local-reply.yaml", &fragment, &values(reply))?);
    }
    let name = "fragments/local-replies.yaml";
    fill(name, &layout.read(name)?, &Values::from([("LOCAL_REPLIES", mappers)]))
}

fn values(reply: &Reply) -> Values<'static> {
    // Written out rather than serialized: the same order of keys as in the filter's refusals.
    let body = format!(
        "{{\"error\":{{\"message\":{},\"type\":{},\"param\":null,\"code\":{}}}}}",
        quoted(&reply.message),
        quoted(&reply.r#type),
        quoted(&reply.code)
    );
    let mut headers = vec![match reply.retry {
        true => json!({ "key": "retry-after", "value": "1" }),
        false => json!({ "key": "x-should-retry", "value": "false" }),
    }];
    if reply.held {
        // Envoy does not hand such a reply to the filter.
        let id = "%FILTER_STATE(wasm.pax_held:PLAIN)%";
        headers
            .extend(["x-matrix-exchange-id", "x-request-id"].map(|key| json!({ "key": key, "value": id })));
    } else {
        // The filter takes this header off, and writes its code into the log's line: that is what the caller
        // was told.
        headers.push(json!({ "key": "x-matrix-code", "value": reply.code }));
    }
    let action = "OVERWRITE_IF_EXISTS_OR_ADD";
    let headers = headers.iter().map(|header| json!({ "header": header, "append_action": action }));
    Values::from([
        ("WHEN", quoted(&reply.when)),
        ("STATUS", reply.status.to_string()),
        ("HEADERS", headers.collect::<serde_json::Value>().to_string()),
        // Envoy reads it as a format, in which a percent sign begins a command.
        ("BODY", quoted(&body.replace('%', "%%").replace("{provider}", PROVIDER))),
    ])
}
